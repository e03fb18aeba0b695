/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SHIM_LINUX_SLAB_H
#define SHIM_LINUX_SLAB_H

#include <linux/types.h>

void *shim_zalloc(size_t size);
void kfree(const void *object);

/* A zeroed object of the type of its first argument; allocation flags may follow. */
#define kzalloc_obj(object, ...) ((__typeof__(object) *)shim_zalloc(sizeof(object)))

#endif
