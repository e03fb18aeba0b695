// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The functions of kho_block.c as src/cset.rs calls them, with a set and its iterator behind one
 * pointer; and the addresses of the machine that checks what they do.
 */
#include "host.h"
#include <linux/io.h>
#include <linux/kho_block.h>
#include <linux/list.h>
#include <linux/slab.h>
#include <setjmp.h>
#include <stdlib.h>

/* Where to go instead of following an address that leads out of the machine's memory. */
static _Thread_local jmp_buf *escape;

phys_addr_t virt_to_phys(const volatile void *address)
{
	return host_phys_of((const void *)address);
}

void *phys_to_virt(phys_addr_t address)
{
	void *pointer = host_virt_of(address);

	if (pointer)
		return pointer;
	if (!escape)
		abort();
	longjmp(*escape, 1);
}

struct shim_set {
	struct kho_block_set set;
	struct kho_block_set_it it;
};

struct shim_set *shim_new(size_t entry_size)
{
	struct shim_set *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	kho_block_set_init(&s->set, entry_size);
	kho_block_set_it_init(&s->it, &s->set);
	return s;
}

/* The end of a kernel: the set is forgotten, the pages stay. */
void shim_forget(struct shim_set *s)
{
	struct kho_block *block, *after;

	list_for_each_entry_safe(block, after, &s->set.blocks, list)
		kfree(block);
	free(s);
}

int shim_grow(struct shim_set *s, u64 count)
{
	return kho_block_set_grow(&s->set, count);
}

void shim_shrink(struct shim_set *s, u64 count)
{
	kho_block_set_shrink(&s->set, count);
}

void shim_clear(struct shim_set *s)
{
	kho_block_set_clear(&s->set);
}

void shim_destroy(struct shim_set *s)
{
	kho_block_set_destroy(&s->set);
}

/* 1: a link would have been followed out of the machine's memory. */
int shim_restore(struct shim_set *s, u64 head)
{
	jmp_buf here;
	int result;

	escape = &here;
	if (setjmp(here) == 0)
		result = kho_block_set_restore(&s->set, head);
	else
		result = 1;
	escape = NULL;
	return result;
}

u64 shim_head(struct shim_set *s)
{
	return kho_block_set_head_pa(&s->set);
}

bool shim_is_empty(struct shim_set *s)
{
	return kho_block_set_is_empty(&s->set);
}

long shim_nblocks(const struct shim_set *s)
{
	return s->set.nblocks;
}

u64 shim_count_per_block(const struct shim_set *s)
{
	return s->set.count_per_block;
}

/* The addresses of the first `room` blocks, as the kernel's own list has them. */
void shim_blocks(const struct shim_set *s, u64 *addresses, size_t room)
{
	struct kho_block *block;

	list_for_each_entry(block, &s->set.blocks, list) {
		if (!room--)
			return;
		*addresses++ = virt_to_phys(block->ser);
	}
}

void shim_it_init(struct shim_set *s)
{
	kho_block_set_it_init(&s->it, &s->set);
}

void *shim_reserve_entry(struct shim_set *s)
{
	return kho_block_set_it_reserve_entry(&s->it);
}

void *shim_read_entry(struct shim_set *s)
{
	return kho_block_set_it_read_entry(&s->it);
}

void *shim_prev(struct shim_set *s)
{
	return kho_block_set_it_prev(&s->it);
}
