// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The functions of a kernel that kho_block.c calls, for any of the machines.
 */
#include "host.h"
#include <asm/page.h>
#include <linux/bug.h>
#include <linux/err.h>
#include <linux/kexec_handover.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <stdlib.h>

void *kho_alloc_preserve(size_t size)
{
	void *page;

	if (size != PAGE_SIZE)
		return ERR_PTR(-EINVAL);
	page = host_page_alloc();
	return page ? page : ERR_PTR(-ENOMEM);
}

void kho_unpreserve_free(void *mem)
{
	if (mem)
		host_page_free(mem, false);
}

void kho_restore_free(void *mem)
{
	if (mem)
		host_page_free(mem, true);
}

void *shim_zalloc(size_t size)
{
	return host_object_alloc() ? calloc(1, size) : NULL;
}

void kfree(const void *object)
{
	if (object)
		host_object_free();
	free((void *)object);
}

void shim_warned(void)
{
	host_warned();
}

void shim_log(const char *format, ...)
{
	(void)format;
	host_logged();
}
