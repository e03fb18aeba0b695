// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Sets of slots, written and read by loops in C around the functions of kho_block.c. src/timed.rs
 * calls these; a `struct bench_set` is used by one thread at a time.
 */
#include "pages.h"
#include <linux/kho_block.h>
#include <linux/slab.h>
#include <stdlib.h>

/* Four words that follow from a number; the same in MemorySlot of the benches. */
struct slot {
	u64 guest, host, len, flags;
};

struct bench_set {
	struct kho_block_set set;
	struct pages pages;
};

static inline void write_slot(struct slot *slot, u64 number)
{
	slot->guest = number << 21;
	slot->host = ~number;
	slot->len = 1 << 21;
	slot->flags = number & 3;
}

static inline u64 digest(const struct slot *slot)
{
	return slot->guest + slot->host + slot->len + slot->flags;
}

/* A set without blocks, in a memory of `room` pages; or null. */
struct bench_set *bench_new(size_t room)
{
	struct bench_set *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	if (!pages_init(&s->pages, room)) {
		free(s);
		return NULL;
	}
	kho_block_set_init(&s->set, sizeof(struct slot));
	return s;
}

void bench_delete(struct bench_set *s)
{
	pages_enter(&s->pages);
	kho_block_set_destroy(&s->set);
	pages_exit(&s->pages);
	free(s);
}

/* Room for `len` slots in all. */
int bench_grow(struct bench_set *s, u64 len)
{
	pages_enter(&s->pages);
	return kho_block_set_grow(&s->set, len);
}

/* Frees the blocks that `len` slots do not need. */
void bench_shrink(struct bench_set *s, u64 len)
{
	pages_enter(&s->pages);
	kho_block_set_shrink(&s->set, len);
}

void bench_clear(struct bench_set *s)
{
	kho_block_set_clear(&s->set);
}

/* Writes slots from the first on. Returns how many there was room for. */
u64 bench_fill(struct bench_set *s, u64 len)
{
	struct kho_block_set_it it;
	struct slot *slot;
	u64 number;

	kho_block_set_it_init(&it, &s->set);
	for (number = 0; number < len; number++) {
		slot = kho_block_set_it_reserve_entry(&it);
		if (!slot)
			break;
		write_slot(slot, number);
	}
	return number;
}

/* Every block holds a slot. */
u64 bench_sum(struct bench_set *s)
{
	struct kho_block_set_it it;
	struct slot *slot;
	u64 sum = 0;

	kho_block_set_it_init(&it, &s->set);
	while ((slot = kho_block_set_it_read_entry(&it)))
		sum += digest(slot);
	return sum;
}

long bench_blocks(const struct bench_set *s)
{
	return s->set.nblocks;
}

/* The end of a kernel: the set has no blocks, the pages stay. Returns the head. */
u64 bench_hand_over(struct bench_set *s)
{
	u64 head = kho_block_set_head_pa(&s->set);
	struct kho_block *block, *after;

	list_for_each_entry_safe(block, after, &s->set.blocks, list)
		kfree(block);
	kho_block_set_init(&s->set, sizeof(struct slot));
	return head;
}

/* Restores a chain into a set without blocks, on the same pages. */
int bench_restore(struct bench_set *s, u64 head)
{
	pages_enter(&s->pages);
	return kho_block_set_restore(&s->set, head);
}

/* The pages that were ever given out. */
const void *bench_pages(const struct bench_set *s, size_t *count)
{
	*count = s->pages.touched;
	return s->pages.base;
}
