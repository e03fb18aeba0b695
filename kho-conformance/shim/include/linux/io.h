/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SHIM_LINUX_IO_H
#define SHIM_LINUX_IO_H

#include <linux/bug.h>
#include <linux/err.h>
#include <linux/printk.h>
#include <linux/types.h>
#include <string.h>

phys_addr_t virt_to_phys(const volatile void *address);

/* Does not return where the machine has no memory there; see shim.c. */
void *phys_to_virt(phys_addr_t address);

#endif
