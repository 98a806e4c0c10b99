// SPDX-License-Identifier: GPL-2.0
/*
 * burn, kernel side: takes a known time for each packet of the load (UDP over IPv4, to burn's port), and sums up what it
 * took, by the clock that netto reads. A burn ends with the first reading of the clock that is late enough, so what
 * is not in the sum is only the way into the program and out of it.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define IPV4		0x0800
#define UDP		17
#define ACCEPT		1	/* NF_ACCEPT */
#define MAX_ROUNDS	7900	/* a bound that every verifier takes; 2.3 ms, emulated at its fastest */
#define GAP_NS		10000

const volatile __u32 burn_ns;	/* for each packet, on average */
const volatile __u16 port;

/* Written by all CPUs. gap_ns: of burnt_ns, between readings of the clock that are far apart: something interrupted. */
__u64 burnt_ns, gap_ns, packets;

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
	__u64 start, now, last, gaps = 0, x, end;

	if (ip->begin[0] != 0x45 || ip->protocol != UDP || ip->dest != bpf_htons(port))
		return;
	/* half to one and a half of it, by chance: nothing is to be in step with a timer that takes samples */
	end = burn_ns / 2 + ((__u64)burn_ns * bpf_get_prandom_u32() >> 32);
	start = now = bpf_ktime_get_ns();
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_ROUNDS && now - start < end; i++) {
		last = now;
		/* work of its own, or most samples would be in the clock */
		DIVIDE8 DIVIDE8 DIVIDE8 DIVIDE8
		now = bpf_ktime_get_ns();
		/* without a branch: an old verifier remembers 8192 at the most */
		gaps += (now - last) & ((__s64)(GAP_NS - (now - last)) >> 63);
	}
	__sync_fetch_and_add(&burnt_ns, now - start);
	__sync_fetch_and_add(&gap_ns, gaps);
	__sync_fetch_and_add(&packets, 1);
}

SEC("tc")
int burn_tc(struct __sk_buff *skb)
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
int burn_nf(struct bpf_nf_ctx *ctx)
{
	struct ip_udp ip;

	if (!bpf_probe_read_kernel(&ip, sizeof(ip), ctx->skb->data))
		burn(&ip);
	return ACCEPT;
}

char LICENSE[] SEC("license") = "GPL";
