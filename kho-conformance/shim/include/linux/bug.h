/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SHIM_LINUX_BUG_H
#define SHIM_LINUX_BUG_H

#include <linux/types.h>

bool shim_warn(bool condition);

/* Every time: a test counts them. */
#define WARN_ON(condition) shim_warn(!!(condition))
#define WARN_ON_ONCE(condition) shim_warn(!!(condition))

#endif
