// SPDX-License-Identifier: MIT OR Apache-2.0
#include "pages.h"
#include <sys/mman.h>

#define HUGE_PAGE (2UL << 20)

_Thread_local struct pages *pages_entered;

bool pages_init(struct pages *pages, size_t room)
{
	size_t size = (room ? room : 1) * PAGE_SIZE;
	size_t align = PAGE_SIZE;

	/* Placed by the same rules as the extents of a HeapMemory. */
	if (size >= HUGE_PAGE) {
		align = HUGE_PAGE;
		size = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	}
	*pages = (struct pages){ .base = aligned_alloc(align, size), .room = room };
	if (pages->base && align == HUGE_PAGE)
		/* Only speed depends on the answer. */
		(void)madvise(pages->base, size, MADV_HUGEPAGE);
	return pages->base;
}

void pages_exit(struct pages *pages)
{
	free(pages->base);
}

void pages_enter(struct pages *pages)
{
	pages_entered = pages;
}
