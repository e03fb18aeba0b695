/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SHIM_ASM_PAGE_H
#define SHIM_ASM_PAGE_H

/* From build.rs. */
#define PAGE_SIZE SHIM_PAGE_SIZE

#endif
