/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SHIM_LINUX_PRINTK_H
#define SHIM_LINUX_PRINTK_H

#ifndef pr_fmt
#define pr_fmt(format) format
#endif

__attribute__((format(printf, 1, 2))) void shim_log(const char *format, ...);

#define pr_err(format, ...) shim_log(pr_fmt(format), ##__VA_ARGS__)
#define pr_warn(format, ...) shim_log(pr_fmt(format), ##__VA_ARGS__)
#define pr_info(format, ...) shim_log(pr_fmt(format), ##__VA_ARGS__)

#endif
