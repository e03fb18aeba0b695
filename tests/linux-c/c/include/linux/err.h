/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SHIM_LINUX_ERR_H
#define SHIM_LINUX_ERR_H

#include <linux/errno.h>
#include <linux/types.h>

/* An error travels as one of the last 4095 addresses. */
static inline void *ERR_PTR(long error)
{
	return (void *)error;
}

static inline bool IS_ERR(const void *pointer)
{
	long value = (long)pointer;

	return value < 0 && value >= -4095;
}

static inline long PTR_ERR(const void *pointer)
{
	return (long)pointer;
}

#endif
