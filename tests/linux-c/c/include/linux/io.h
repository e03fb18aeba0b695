/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SHIM_LINUX_IO_H
#define SHIM_LINUX_IO_H

#include <linux/bug.h>
#include <linux/err.h>
#include <linux/printk.h>
#include <linux/types.h>
#include <string.h>

#ifdef SHIM_IDENTITY_MAP
/* For benches: an address is a pointer, which is as cheap as the kernel's own mapping. */
static inline phys_addr_t virt_to_phys(const volatile void *address)
{
	return (phys_addr_t)address;
}

static inline void *phys_to_virt(phys_addr_t address)
{
	return (void *)address;
}
#else
phys_addr_t virt_to_phys(const volatile void *address);

/* Does not return if the machine has no memory at the address; see checked.c. */
void *phys_to_virt(phys_addr_t address);
#endif

#endif
