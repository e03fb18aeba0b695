/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef ARENA_H
#define ARENA_H

#include <linux/types.h>

/*
 * The machine of the tests, in src/host.rs: the arena that the calling thread has entered. It checks
 * and counts every operation, and can be told to run out of memory.
 */

/* A zeroed page, or null. */
void *host_page_alloc(void);
/* `restored`: the page came from another kernel. */
void host_page_free(void *page, bool restored);
/* Whether an object may be allocated. */
bool host_object_alloc(void);
void host_object_free(void);
void host_warned(void);
void host_logged(void);

u64 host_phys_of(const void *pointer);
/* Returns null if the machine has no memory at the address. */
void *host_virt_of(u64 address);

#endif
