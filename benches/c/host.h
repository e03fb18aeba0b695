/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include <linux/types.h>

/*
 * Preserved memory: pages in one piece, given out in address order, and in that order again once all
 * were freed. A physical address is a pointer.
 */
struct arena {
	char *base;
	size_t room;	/* In pages, as are the others. */
	size_t touched;	/* The pages after these were never given out. */
	size_t used;
	void *free;	/* A list of pages before `touched`. */
};

/* False: there is no memory. */
bool arena_init(struct arena *arena, size_t room);
void arena_exit(struct arena *arena);

/* Which arena kho_block.c allocates from when this thread calls it. */
void arena_enter(struct arena *arena);

#endif
