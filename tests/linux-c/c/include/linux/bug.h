/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SHIM_LINUX_BUG_H
#define SHIM_LINUX_BUG_H

#include <linux/types.h>

void shim_warned(void);

/* A condition that is false costs a branch, as in the kernel. */
static inline bool shim_warn(bool condition)
{
	if (__builtin_expect(condition, 0))
		shim_warned();
	return condition;
}

/* WARN_ON_ONCE warns every time, since a test counts the warnings. */
#define WARN_ON(condition) shim_warn(!!(condition))
#define WARN_ON_ONCE(condition) shim_warn(!!(condition))

#endif
