// SPDX-License-Identifier: GPL-2.0
/*
 * scale CPUS STACKS - what a report costs: netto's user side over made-up samples of 5,000 of this
 * kernel's functions, with STACKS different stacks in all, on CPUS CPUs. Prints key=value pairs on
 * a line: kallsyms_s, sort_s, csv_s, text_s, folded_s: seconds to read the symbols, to sort the
 * stacks, to print each report; peak_kb: memory, without the table of stacks, which the kernel side
 * has.
 */
#define main netto_main
#include "../netto.c"
#undef main

enum { DEPTH = 24, FUNCTIONS = 5000 };

static struct sampler sampler;
static struct symbols symbols;
static struct result r;

static double seconds_since(uint64_t began_ns)
{
	return (now_ns(CLOCK_MONOTONIC) - began_ns) / 1e9;
}

/* A stack of random functions below net_rx_action(). */
static void make_stack(uint64_t *words, unsigned slot)
{
	static const struct symbol *root;

	if (!root)
		for (root = symbols.list; strcmp(name_of(&symbols, root), "net_rx_action"); root++)
			;
	words[0] = EV_RX_SOFTIRQ | DEPTH << 8 | (uint64_t)slot << 32;
	for (int i = 1; i < DEPTH; i++) {
		size_t at = random() % FUNCTIONS * (symbols.count - 2) / FUNCTIONS;

		words[i] = symbols.list[2 + at].address + 1;
	}
	words[DEPTH] = root->address + 1;
}

/* False: no memory. */
static bool make_tables(unsigned stacks)
{
	unsigned each = (stacks + sampler.cpus - 1) / sampler.cpus;

	sampler.nr_bufs = 1;
	for (sampler.hash_slots = 16; sampler.hash_slots < each; sampler.hash_slots *= 2)
		;
	sampler.stack_words = each * (1 + DEPTH);
	sampler.buf_size = sizeof(stack_buf_t) +
			   sampler.hash_slots * sizeof(((stack_buf_t *)0)->slots[0]) +
			   (sampler.stack_words + 1 + MAX_DEPTH) * sizeof(uint64_t);
	sampler.tables = calloc(sampler.cpus, sampler.buf_size);
	for (int cpu = 0; sampler.tables && cpu < sampler.cpus; cpu++) {
		stack_buf_t *h = buf_at(&sampler, cpu, 1);

		h->interval_id = 1;
		for (unsigned i = 0; i < each; i++) {
			h->slots[i].interval_id = 1;
			h->slots[i].count = 1 + i % 3;
			make_stack((uint64_t *)&h->slots[sampler.hash_slots] + h->used, i);
			h->used += 1 + DEPTH;
		}
	}
	return sampler.tables;
}

/* Each CPU was all the time in NET_RX. */
static void make_times(void)
{
	static struct marks a, b;

	for (int cpu = 0; cpu < sampler.cpus; cpu++)
		b.cpu[cpu].wall_ns = b.cpu[cpu].ns[EV_RX_SOFTIRQ] = 10 * NSEC_PER_SEC;
	subtract_marks(&b, &a, &r);
}

static double print(bool csv, bool folded)
{
	uint64_t began_ns = now_ns(CLOCK_MONOTONIC);

	opt.csv = csv;
	opt.folded = folded;
	if (print_report(&r, true))
		exit(EXIT_FAILED);
	return seconds_since(began_ns);
}

int main(int argc, char **argv)
{
	uint64_t began_ns = now_ns(CLOCK_MONOTONIC);
	static char output[1 << 16]; /* as netto's own */
	double kallsyms_s, sort_s, csv_s, text_s, folded_s;
	struct session s = { .skel = netto__open() };
	struct rusage usage;

	if (argc != 3 || !s.skel) {
		fputs("usage: scale CPUS STACKS\n", stderr);
		return EXIT_USAGE;
	}
	symbols.rodata = s.skel->rodata;
	sampler.cpus = atoi(argv[1]);
	sampler.hz = 997;
	sampler.clock = "cpu-clock";
	sampler.kallsyms = open("/proc/kallsyms", O_RDONLY);
	if (prepare_classifying(&symbols, sampler.kallsyms))
		return EXIT_FAILED;
	kallsyms_s = seconds_since(began_ns);
	if (!make_tables(atoi(argv[2])))
		return EXIT_FAILED;
	describe_events(&s, r.events);
	r.profile.symbols = &symbols;
	make_times();
	began_ns = now_ns(CLOCK_MONOTONIC);
	if (make_profile(&r.profile, &sampler, 1))
		return EXIT_FAILED;
	sort_s = seconds_since(began_ns);
	report = freopen("/dev/null", "w", stdout);
	setvbuf(stdout, output, _IOFBF, sizeof(output));
	csv_s = print(true, false);
	text_s = print(false, false);
	folded_s = print(false, true);
	getrusage(RUSAGE_SELF, &usage);
	fprintf(stderr,
		"cpus=%d stacks=%zu kallsyms_s=%.3f sort_s=%.3f csv_s=%.3f text_s=%.3f folded_s=%.3f peak_kb=%ld\n",
		sampler.cpus, r.profile.stack_count, kallsyms_s, sort_s, csv_s, text_s, folded_s,
		usage.ru_maxrss - (long)(sampler.cpus * sampler.buf_size / 1024));
	return EXIT_MEASURED;
}
