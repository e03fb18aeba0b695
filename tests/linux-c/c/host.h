/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef HOST_H
#define HOST_H

/*
 * The machine that kho_block.c runs on, as host.c calls it. It is chosen at compile time, so that the
 * one that is measured costs nothing extra.
 */
#ifdef SHIM_IDENTITY_MAP
#include "pages.h"
#else
#include "arena.h"
#endif

#endif
