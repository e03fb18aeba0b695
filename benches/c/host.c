// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What kho_block.c expects of a kernel, as cheap as it can be.
 */
#include "host.h"
#include <linux/kexec_handover.h>
#include <linux/printk.h>
#include <linux/bug.h>
#include <linux/slab.h>
#include <asm/page.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE (2UL << 20)

static _Thread_local struct arena *entered;

bool arena_init(struct arena *arena, size_t room)
{
	size_t size = (room ? room : 1) * PAGE_SIZE;
	size_t align = PAGE_SIZE;

	/* Placed by the same rules as the extents of a HeapMemory. */
	if (size >= HUGE_PAGE) {
		align = HUGE_PAGE;
		size = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	}
	*arena = (struct arena){ .base = aligned_alloc(align, size), .room = room };
	if (arena->base && align == HUGE_PAGE)
		/* Only speed depends on the answer. */
		(void)madvise(arena->base, size, MADV_HUGEPAGE);
	return arena->base;
}

void arena_exit(struct arena *arena)
{
	free(arena->base);
}

void arena_enter(struct arena *arena)
{
	entered = arena;
}

void *kho_alloc_preserve(size_t size)
{
	struct arena *arena = entered;
	void *page;

	if (size != PAGE_SIZE)
		return ERR_PTR(-EINVAL);
	if (arena->free) {
		page = arena->free;
		memcpy(&arena->free, page, sizeof(arena->free));
	} else if (arena->touched < arena->room) {
		page = arena->base + arena->touched++ * PAGE_SIZE;
	} else {
		return ERR_PTR(-ENOMEM);
	}
	arena->used++;
	return memset(page, 0, PAGE_SIZE);
}

static void give_back(void *page)
{
	struct arena *arena = entered;

	if (--arena->used == 0) {
		arena->touched = 0;
		arena->free = NULL;
		return;
	}
	memcpy(page, &arena->free, sizeof(arena->free));
	arena->free = page;
}

void kho_unpreserve_free(void *mem)
{
	give_back(mem);
}

void kho_restore_free(void *mem)
{
	give_back(mem);
}

void *shim_zalloc(size_t size)
{
	return calloc(1, size);
}

void kfree(const void *object)
{
	free((void *)object);
}

/* Nothing that is measured goes wrong: what a warning would be about is an error here. */
void shim_warned(void)
{
	abort();
}

void shim_log(const char *format, ...)
{
	(void)format;
	abort();
}
