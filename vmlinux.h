/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel types that netto.bpf.c reads: only the fields in use. CO-RE finds their offsets in the
 * running kernel's BTF, so that order, size and what lies between do not matter here.
 */
#ifndef NETTO_VMLINUX_H
#define NETTO_VMLINUX_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct {
	int pid;	   /* 0: the idle task of a CPU */
	unsigned int flags;
	char comm[16];	   /* its name */
	struct task_struct *group_leader;
	void *bpf_storage; /* NULL until a BPF program keeps something with the task; from 5.11 */
};

struct ns_common {
	unsigned int inum; /* of the namespace's file in /proc/PID/ns */
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct net_device {
	char name[16];
	int ifindex;
	possible_net_t nd_net;
};

struct napi_struct {
	struct net_device *dev; /* NULL: of no device: the backlog */
	unsigned int napi_id;	/* 0: it has none */
};

struct irqaction {
	unsigned int flags;
};

#pragma clang attribute pop

enum { NET_TX_SOFTIRQ = 2, NET_RX_SOFTIRQ = 3, IRQF_PERCPU = 0x400 }; /* .../interrupt.h */
enum { PF_IO_WORKER = 0x10, PF_KTHREAD = 0x00200000 }; /* include/linux/sched.h */

#endif
