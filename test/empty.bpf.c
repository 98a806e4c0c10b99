// SPDX-License-Identifier: GPL-2.0
/* Programs that do nothing, at netto's hooks: what measuring costs at the least. For test/bench. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define EMPTY(name, section)                                                                       \
	SEC(section) int name(void *ctx)                                                           \
	{                                                                                          \
		return 0;                                                                          \
	}

EMPTY(empty_send, "fentry/inet_sendmsg")
EMPTY(empty_send_x, "fexit/inet_sendmsg")
EMPTY(empty_recv, "fentry/inet_recvmsg")
EMPTY(empty_recv_x, "fexit/inet_recvmsg")
EMPTY(empty_soft, "tp_btf/softirq_entry")
EMPTY(empty_soft_x, "tp_btf/softirq_exit")
EMPTY(empty_switch, "tp_btf/sched_switch")
EMPTY(empty_poll, "tp_btf/napi_poll")

char LICENSE[] SEC("license") = "GPL";
