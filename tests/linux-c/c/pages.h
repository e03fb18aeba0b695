/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PAGES_H
#define PAGES_H

#include <asm/page.h>
#include <linux/types.h>
#include <stdlib.h>
#include <string.h>

/*
 * The machine that is measured, as cheap as it can be: pages in one piece, allocated in
 * address order, and again in that order once all were freed. A physical address is a pointer (linux/io.h).
 */
struct pages {
	char *base;
	size_t room;	/* In pages, as are the others. */
	size_t touched;	/* The pages after these were never given out. */
	size_t used;
	void *free;	/* A list of pages before `touched`. */
};

/* Returns false if there is no memory. */
bool pages_init(struct pages *pages, size_t room);
void pages_exit(struct pages *pages);

/* Sets the pages from which kho_block.c allocates when this thread calls it. */
void pages_enter(struct pages *pages);

extern _Thread_local struct pages *pages_entered;

static inline void *host_page_alloc(void)
{
	struct pages *pages = pages_entered;
	void *page;

	if (pages->free) {
		page = pages->free;
		memcpy(&pages->free, page, sizeof(pages->free));
	} else if (pages->touched < pages->room) {
		page = pages->base + pages->touched++ * PAGE_SIZE;
	} else {
		return NULL;
	}
	pages->used++;
	return memset(page, 0, PAGE_SIZE);
}

static inline void host_page_free(void *page, bool restored)
{
	struct pages *pages = pages_entered;

	(void)restored;
	if (--pages->used == 0) {
		pages->touched = 0;
		pages->free = NULL;
		return;
	}
	memcpy(page, &pages->free, sizeof(pages->free));
	pages->free = page;
}

static inline bool host_object_alloc(void)
{
	return true;
}

static inline void host_object_free(void)
{
}

/* Nothing may go wrong in a bench, so a warning is an error here. */
static inline void host_warned(void)
{
	abort();
}

static inline void host_logged(void)
{
	abort();
}

#endif
