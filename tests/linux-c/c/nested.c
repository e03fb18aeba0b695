// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Sets in a set: sessions, each with a set of files, of the sizes that LUO's have. src/timed.rs calls
 * these; a `struct bench_nested` is used by one thread at a time.
 */
#include "pages.h"
#include "sets.h"
#include <linux/kho_block.h>
#include <stdlib.h>

/* Their words follow from a number; those that are equal in src/nested.rs. */
struct session {
	u64 name[8];
	u64 files;
	u64 file_count;
};

struct file {
	u64 words[8];
};

struct bench_nested {
	struct pages pages;
	struct kho_block_set sessions;
	/* Of the first `count` sessions; there is room for `most`. */
	struct kho_block_set *files;
	size_t count, most;
};

static inline void write_words(u64 words[8], u64 number)
{
	for (int i = 0; i < 8; i++)
		words[i] = number + i;
}

static inline u64 sum_words(const u64 words[8])
{
	u64 sum = 0;

	for (int i = 0; i < 8; i++)
		sum += words[i];
	return sum;
}

static bool write_files(struct kho_block_set *set, u64 first, u64 count)
{
	struct kho_block_set_it it;

	if (kho_block_set_grow(set, count))
		return false;
	kho_block_set_it_init(&it, set);
	for (u64 i = 0; i < count; i++) {
		struct file *file = kho_block_set_it_reserve_entry(&it);

		if (!file)
			return false;
		write_words(file->words, first + i);
	}
	return true;
}

void bench_nested_delete(struct bench_nested *n);

/* No sessions, room for `most`, and a memory of `room` pages; or null. */
struct bench_nested *bench_nested_new(size_t room, size_t most)
{
	struct bench_nested *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	kho_block_set_init(&n->sessions, sizeof(struct session));
	n->files = calloc(most ? most : 1, sizeof(*n->files));
	n->most = most;
	if (!pages_init(&n->pages, room) || !n->files) {
		bench_nested_delete(n);
		return NULL;
	}
	return n;
}

/* Frees the pages of all sets. */
void bench_nested_clear(struct bench_nested *n)
{
	pages_enter(&n->pages);
	for (size_t i = 0; i < n->count; i++)
		kho_block_set_destroy(&n->files[i]);
	n->count = 0;
	kho_block_set_destroy(&n->sessions);
}

void bench_nested_delete(struct bench_nested *n)
{
	bench_nested_clear(n);
	pages_exit(&n->pages);
	free(n->files);
	free(n);
}

/* As many sessions as there is room for, with so many files each, where there are none. */
bool bench_nested_build(struct bench_nested *n, u64 file_count)
{
	struct kho_block_set_it it;

	pages_enter(&n->pages);
	if (kho_block_set_grow(&n->sessions, n->most))
		return false;
	kho_block_set_it_init(&it, &n->sessions);
	while (n->count < n->most) {
		struct session *session = kho_block_set_it_reserve_entry(&it);
		struct kho_block_set *files = &n->files[n->count];
		u64 number = n->count;

		if (!session)
			return false;
		kho_block_set_init(files, sizeof(struct file));
		n->count++;
		if (!write_files(files, number * file_count, file_count))
			return false;
		write_words(session->name, number);
		session->files = kho_block_set_head_pa(files);
		session->file_count = file_count;
	}
	return true;
}

/* The kernel ends: the sets have no blocks, the pages stay. Returns the head of the sessions. */
u64 bench_nested_hand_over(struct bench_nested *n)
{
	u64 head = kho_block_set_head_pa(&n->sessions);

	for (size_t i = 0; i < n->count; i++)
		forget_blocks(&n->files[i]);
	n->count = 0;
	forget_blocks(&n->sessions);
	kho_block_set_init(&n->sessions, sizeof(struct session));
	return head;
}

static int read_files(u64 head, u64 *sum)
{
	struct kho_block_set set;
	struct kho_block_set_it it;
	struct file *file;
	int error;

	kho_block_set_init(&set, sizeof(*file));
	error = kho_block_set_restore(&set, head);
	if (error)
		return error;
	kho_block_set_it_init(&it, &set);
	while ((file = kho_block_set_it_read_entry(&it)))
		*sum += sum_words(file->words);
	forget_blocks(&set);
	return 0;
}

/*
 * Restores the set of sessions at `head`, and that of each session's files, adds up all words but the
 * addresses, and leaves the pages for the next time.
 */
int bench_nested_restore_and_read(struct bench_nested *n, u64 head, u64 *sum)
{
	struct kho_block_set set;
	struct kho_block_set_it it;
	struct session *session;
	int error;

	pages_enter(&n->pages);
	*sum = 0;
	kho_block_set_init(&set, sizeof(*session));
	error = kho_block_set_restore(&set, head);
	if (error)
		return error;
	kho_block_set_it_init(&it, &set);
	while (!error && (session = kho_block_set_it_read_entry(&it))) {
		*sum += sum_words(session->name) + session->file_count;
		error = read_files(session->files, sum);
	}
	forget_blocks(&set);
	return error;
}
