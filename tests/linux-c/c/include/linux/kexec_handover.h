/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SHIM_LINUX_KEXEC_HANDOVER_H
#define SHIM_LINUX_KEXEC_HANDOVER_H

#include <linux/err.h>
#include <linux/types.h>

void *kho_alloc_preserve(size_t size);
void kho_unpreserve_free(void *mem);
void kho_restore_free(void *mem);

#endif
