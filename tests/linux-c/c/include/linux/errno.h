/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SHIM_LINUX_ERRNO_H
#define SHIM_LINUX_ERRNO_H

/* Not <errno.h>: the C library's would include this very file. */
#define ENOMEM 12
#define EINVAL 22
#define ENOSPC 28

#endif
