// SPDX-License-Identifier: GPL-2.0
/*
 * An XDP program for test/paths.sh. It takes some time, so that samples hit it, and passes all
 * frames but those of UDP over IPv4 with one byte: the test sees by that that it runs.
 */
#include <linux/bpf.h>

#define ONE_BYTE	(14 + 20 + 8 + 1)

__attribute__((section("xdp"), used)) int paths(struct xdp_md *ctx)
{
	for (long i = 0; i < 300; i++)
		asm volatile("" : "+r"(i));	/* or it would be left out */
	return (long)ctx->data_end - (long)ctx->data == ONE_BYTE ? XDP_DROP : XDP_PASS;
}
