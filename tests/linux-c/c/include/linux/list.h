/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SHIM_LINUX_LIST_H
#define SHIM_LINUX_LIST_H

#include <linux/types.h>

/*
 * Circular lists, linked through a member of their elements. The interface is that of the kernel's
 * <linux/list.h>, as far as kho_block.c uses it.
 */

#define container_of(pointer, type, member) \
	((type *)((char *)(pointer) - offsetof(type, member)))

#define LIST_HEAD_INIT(name) { .next = &(name), .prev = &(name) }

static inline void INIT_LIST_HEAD(struct list_head *list)
{
	list->prev = list;
	list->next = list;
}

static inline bool list_empty(const struct list_head *list)
{
	return list->next == list;
}

static inline bool list_is_first(const struct list_head *node, const struct list_head *list)
{
	return list->next == node;
}

static inline bool list_is_last(const struct list_head *node, const struct list_head *list)
{
	return list->prev == node;
}

static inline void list_add_tail(struct list_head *node, struct list_head *list)
{
	struct list_head *before = list->prev;

	node->prev = before;
	node->next = list;
	before->next = node;
	list->prev = node;
}

static inline void list_del(struct list_head *node)
{
	node->next->prev = node->prev;
	node->prev->next = node->next;
	node->prev = NULL;
	node->next = NULL;
}

#define list_entry(pointer, type, member) container_of(pointer, type, member)
#define list_first_entry(list, type, member) list_entry((list)->next, type, member)
#define list_last_entry(list, type, member) list_entry((list)->prev, type, member)
#define list_first_entry_or_null(list, type, member) \
	(list_empty(list) ? NULL : list_first_entry(list, type, member))
#define list_last_entry_or_null(list, type, member) \
	(list_empty(list) ? NULL : list_last_entry(list, type, member))
#define list_next_entry(at, member) list_entry((at)->member.next, __typeof__(*(at)), member)
#define list_prev_entry(at, member) list_entry((at)->member.prev, __typeof__(*(at)), member)

#define list_for_each_entry(at, list, member) \
	for ((at) = list_first_entry(list, __typeof__(*(at)), member); &(at)->member != (list); \
	     (at) = list_next_entry(at, member))

/* The current element may be removed from the list. */
#define list_for_each_entry_safe(at, after, list, member) \
	for ((at) = list_first_entry(list, __typeof__(*(at)), member), \
	     (after) = list_next_entry(at, member); \
	     &(at)->member != (list); (at) = (after), (after) = list_next_entry(after, member))

#endif
