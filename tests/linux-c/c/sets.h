/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef BENCH_SETS_H
#define BENCH_SETS_H

struct kho_block_set;

/* Frees what the kernel knew of a set, which is not used after that. The pages stay. */
void forget_blocks(struct kho_block_set *set);

#endif
