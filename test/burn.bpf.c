// SPDX-License-Identifier: GPL-2.0
/*
 * burn, kernel side: takes a known time for each packet of the load (UDP over IPv4, to burn's port), and sums up what it
 * took, by the clock that netto reads. A burn ends with the first reading of the clock that is late enough, so what
 * is not in the sum is only the way into the program and out of it. The names begin with the place: burn.c loads its programs.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define IPV4		0x0800
#define UDP		17
#define ACCEPT		1	/* NF_ACCEPT */
#define MAX_ROUNDS	7900	/* a bound that every verifier takes; 2.3 ms, emulated at its fastest */

const volatile __u32 burn_ns;	/* for each packet, on average */
const volatile __u16 port;

__u64 burnt_ns, packets; /* written by all CPUs */

struct ip_udp {
	__u8 begin[9], protocol, rest[10];
	__be16 source, dest;
};

struct frame {
	__u8 addresses[12];
	__be16 type;
	struct ip_udp ip;
};

/* Slow for an instruction: the verifier walks through each one of each round. */
#define DIVIDE	asm volatile("%0 /= 3" : "+r"(x));
#define DIVIDE8 x = -1; DIVIDE DIVIDE DIVIDE DIVIDE DIVIDE DIVIDE DIVIDE DIVIDE

static __always_inline void burn(const struct ip_udp *ip)
{
	__u64 start, now, x, end;

	if (ip->begin[0] != 0x45 || ip->protocol != UDP || ip->dest != bpf_htons(port))
		return;
	/* half to one and a half of it, by chance: nothing is to be in step with a timer that takes samples */
	end = burn_ns / 2 + ((__u64)burn_ns * bpf_get_prandom_u32() >> 32);
	start = now = bpf_ktime_get_ns();
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_ROUNDS && now - start < end; i++) {
		/* work of its own, or most samples would be in the clock */
		DIVIDE8 DIVIDE8 DIVIDE8 DIVIDE8
		now = bpf_ktime_get_ns();
	}
	__sync_fetch_and_add(&burnt_ns, now - start);
	__sync_fetch_and_add(&packets, 1);
}

SEC("tc")
int tc_burn(struct __sk_buff *skb)
{
	struct frame *f = (void *)(long)skb->data;

	if ((void *)(f + 1) <= (void *)(long)skb->data_end && f->type == bpf_htons(IPV4))
		burn(&f->ip);
	return -1; /* TC_ACT_UNSPEC: as if there were no program */
}

/* What the kernel gives a netfilter program, from 6.4 on. */
struct sk_buff {
	unsigned char *data;
} __attribute__((preserve_access_index));

struct bpf_nf_ctx {
	const void *state;
	struct sk_buff *skb;
};

SEC("netfilter") /* of a type that libbpf 1.1 does not know: burn.c sets it */
int nf_burn(struct bpf_nf_ctx *ctx)
{
	struct ip_udp ip;

	if (!bpf_probe_read_kernel(&ip, sizeof(ip), ctx->skb->data))
		burn(&ip);
	return ACCEPT;
}

/* Programs that do nothing, at netto's hooks: what measuring costs at the least. */
#define EMPTY(name, section) SEC(section) int empty_##name(void *ctx) { return 0; }

EMPTY(send, "fentry/inet_sendmsg")
EMPTY(send_x, "fexit/inet_sendmsg")
EMPTY(recv, "fentry/inet_recvmsg")
EMPTY(recv_x, "fexit/inet_recvmsg")
EMPTY(soft, "tp_btf/softirq_entry")
EMPTY(soft_x, "tp_btf/softirq_exit")
EMPTY(switch, "tp_btf/sched_switch")
EMPTY(poll, "tp_btf/napi_poll")

char LICENSE[] SEC("license") = "GPL";
