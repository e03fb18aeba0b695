/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef HOST_H
#define HOST_H

/*
 * The machine that kho_block.c runs on: what host.c asks of it. Which one is decided when this is
 * compiled, so that the one that is measured costs no more than it has to.
 */
#ifdef SHIM_IDENTITY_MAP
#include "pages.h"
#else
#include "arena.h"
#endif

#endif
