#!/bin/sh
# Builds build/netto, a static musl binary, on Debian 12, Debian 13 or Ubuntu 24.04 with nothing installed:
# installs the missing tools through apt, takes the distribution's own sources of libbpf, elfutils and zlib,
# and writes nothing outside build/. A second run rebuilds only netto, without the network.
#
#	./build.sh		build/netto, for this machine
#	./build.sh ARCH		build/ARCH/netto, for another one: aarch64, arm, mips, mipsel, riscv64 or x86_64
#	./build.sh debug		build/debug/netto, for this machine: with libbpf's messages, and the verifier's log with
#				the lines of netto.bpf.c, where the kernel refuses a program
#	./build.sh dist		build/netto-VERSION.tar.gz: netto for all of them, README.md, LICENSE and checksums; the
#				same bytes each time. SOURCE_DATE_EPOCH is the time in it: the commit's, if it is not set.
#
# For another one there is no musl to install: it is built too, from the distribution's source with its cross compiler.
# build/ARCH/bin/musl-gcc then compiles other programs as well.
#
# On hosts without apt: have the tools, and give unpacked sources in LIBBPF_SRC, ELFUTILS_SRC, ZLIB_SRC (and MUSL_SRC,
# and COMPILER_RT_SRC for MIPS).
# Overridable: CC (a musl compiler), CLANG, BPFTOOL, STRIP, AR, NM, KERNEL_HEADERS, JOBS.
set -eu
cd "$(dirname "$0")"

die() {
	echo "build.sh: $*" >&2
	exit 1
}

VERSION=1.0
COMMIT=$(git rev-parse --short=10 HEAD 2>/dev/null || :) # empty outside of a clone
HOST=$(uname -m | sed 's/^arm.*/arm/')

# tar and gzip write what may differ, names, times, owners and the order, as told.
make_dist() {
	name=netto-$VERSION
	time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
	rm -rf "build/$name"
	mkdir -p "build/$name"
	cp README.md LICENSE "build/$name"
	for arch in x86_64 aarch64 arm mips mipsel riscv64; do
		./build.sh $arch
		if [ $arch = "$HOST" ]; then from=build; else from=build/$arch; fi
		cp "$from/netto" "build/$name/netto-$arch"
	done
	(cd "build/$name" && sha256sum netto-* >SHA256SUMS)
	tar -C build --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$time" -cf - "$name" |
		gzip -9n >"build/$name.tar.gz"
	rm -r "build/${name:?}"
	echo "build.sh: build/$name.tar.gz: $(wc -c <"build/$name.tar.gz") bytes, $(sha256sum <"build/$name.tar.gz" | cut -c 1-64)"
}

DEBUG=
case ${1:-} in
debug) DEBUG=1 ARCH=$HOST ;;
dist)
	make_dist
	exit
	;;
*) ARCH=${1:-$HOST} ;;
esac
case $ARCH in # what the compiler calls it, eBPF, and Debian
x86_64) GNU=x86_64-linux-gnu BPF=x86 DEB=amd64 ;;
aarch64) GNU=aarch64-linux-gnu BPF=arm64 DEB=arm64 ;;
arm) GNU=arm-linux-gnueabi BPF=arm DEB=armel ;; # ARMv5TE and newer, soft float
mips | mipsel) # MIPS32 and newer, soft float
	GNU=$ARCH-linux-gnu BPF=mips DEB=$ARCH MACHINE="-march=mips32 -msoft-float -B$PWD/build/$ARCH/gcc/"
	# No way to call shared libraries, of which a static program has none: 25 kB. musl's start-up code needs it; that
	# the two do not go together is true of shared libraries alone. The others make less code: 4 kB.
	MORE_CFLAGS="-mno-abicalls -G0 -fno-guess-branch-probability -fno-move-loop-invariants -fno-tree-pre"
	MORE_LDFLAGS=-Wl,--no-warn-mismatch
	;;
riscv64) GNU=riscv64-linux-gnu BPF=riscv DEB=riscv64 ;;
*) die "no such architecture: $ARCH: choose x86_64, aarch64, arm, mips, mipsel or riscv64" ;;
esac
if [ "$ARCH" = "$HOST" ]; then
	OUT=build${DEBUG:+/debug}
	CROSS=
	CC=${CC:-musl-gcc}
	KERNEL_HEADERS=${KERNEL_HEADERS:-/usr/include}
else
	OUT=build/$ARCH
	CROSS=$GNU-
	CC=${CC:-$PWD/$OUT/bin/musl-gcc}
	KERNEL_HEADERS=${KERNEL_HEADERS:-/usr/$GNU/include}
fi
CLANG=${CLANG:-clang}
STRIP=${STRIP:-${CROSS}strip}
AR=${AR:-${CROSS}ar}
NM=${NM:-${CROSS}nm}
JOBS=${JOBS:-$(nproc)}
MAX_BYTES=400000
B=$PWD/$OUT
SRC=$PWD/build/src # of all architectures
APT=$PWD/build/apt
LIBBPF_SRC=${LIBBPF_SRC:-$SRC/libbpf/unpacked}
ELFUTILS_SRC=${ELFUTILS_SRC:-$SRC/elfutils/unpacked}
ZLIB_SRC=${ZLIB_SRC:-$SRC/zlib/unpacked}
MUSL_SRC=${MUSL_SRC:-$SRC/musl/unpacked}
COMPILER_RT_SRC=${COMPILER_RT_SRC:-$SRC/emscripten/unpacked/system/lib/compiler-rt} # its copy

have() {
	command -v "$1" >/dev/null 2>&1
}

# bpftool's wrapper of Ubuntu wants the tool of the running kernel; any of them can write a skeleton.
find_bpftool() {
	for t in "${BPFTOOL:-bpftool}" /usr/sbin/bpftool /usr/lib/linux-tools/*/bpftool; do
		if "$t" version >/dev/null 2>&1; then
			BPFTOOL=$t
			return 0
		fi
	done
	return 1
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		have sudo || die "not root and no sudo: install $* by hand"
		sudo "$@"
	fi
}

install_tools() {
	want=
	have "$CLANG" || want="$want clang"
	if [ -z "$CROSS" ]; then
		have "$CC" || want="$want musl-tools"
		have "$STRIP" || want="$want binutils"
		have "$AR" || want="$want binutils"
		[ -e "$KERNEL_HEADERS/linux/bpf.h" ] || want="$want linux-libc-dev"
	else
		"$CC" --version >/dev/null 2>&1 || have "${CROSS}gcc" || want="$want gcc-$(echo "$GNU" | tr _ -)"
		have "$CC" || have make || want="$want make"
		[ -e "$KERNEL_HEADERS/linux/bpf.h" ] || want="$want linux-libc-dev-$DEB-cross"
	fi
	[ -d "$LIBBPF_SRC" ] || have dpkg-source || want="$want dpkg-dev"
	find_bpftool || want="$want $(. /etc/os-release; [ "$ID" = ubuntu ] && echo linux-tools-generic || echo bpftool)"
	[ -n "$want" ] || return 0
	have apt-get || die "missing, and there is no apt to install it:$want"
	echo "build.sh: installing$want"
	as_root apt-get -q update
	# shellcheck disable=SC2086 # a list of names
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $want
	find_bpftool || die "no bpftool that runs: set BPFTOOL"
}

# The source packages come from the archives that the machine already uses, read back from apt itself (so both
# formats of its configuration are understood), through lists and a cache of our own under build/apt.
write_source_list() {
	(
		. /etc/os-release
		apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
			awk -v key="/usr/share/keyrings/$ID-archive-keyring.gpg" '
				NF == 4 && ($4 == "Debian" || $4 == "Ubuntu") { print "deb-src [signed-by=" key "]", $1, $2, $3 }' |
			sort -u
	) >"$APT/sources.list"
}

private_apt() {
	list=$1
	shift
	apt-get -q -o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$APT/lists" \
		-o "Dir::Cache=$APT/cache" -o APT::Get::List-Cleanup=false -o APT::Sandbox::User=root "$@"
}

update_lists() { # once
	[ -z "${updated:-}" ] || return 0
	have apt-get || die "no apt: set LIBBPF_SRC, ELFUTILS_SRC and ZLIB_SRC (and MUSL_SRC) to unpacked sources"
	mkdir -p "$APT/lists/partial" "$APT/cache/archives/partial"
	write_source_list
	if [ ! -s "$APT/sources.list" ]; then # a machine whose lists were never fetched names no origin
		as_root apt-get -q update
		write_source_list
	fi
	private_apt "$APT/sources.list" update
	updated=1
}

# $1 = source package, into build/src/$1/unpacked. Some mirrors list a package in two suites and hold its files for
# one: then each archive is asked alone. Some lag behind with a distribution's patches: then upstream's tarball, of
# which apt has checked the signature like that of the rest, has to do.
fetch_source() {
	update_lists
	rm -rf "${SRC:?}/$1"
	mkdir -p "$SRC/$1"
	(
		cd "$SRC/$1"
		private_apt "$APT/sources.list" source --download-only "$1" && exit 0
		while read -r line; do
			echo "$line" >"$APT/one.list"
			private_apt "$APT/one.list" source --download-only "$1" && exit 0
		done <"$APT/sources.list"
		exit 0
	) >"$APT/$1.log" 2>&1
	(
		cd "$SRC/$1"
		if ! dpkg-source --no-check -x ./*.dsc new; then
			rm -rf new
			mkdir new
			for tar in ./*.orig.tar.*z ./*.orig.tar.bz2; do
				[ ! -e "$tar" ] || tar -x --strip-components=1 -C new -f "$tar"
			done
			[ -n "$(ls new)" ] || exit 1
			echo "build.sh: $1 without the distribution's patches: the mirror lacks them" >&3
		fi
		mv new unpacked # all of it, or nothing
	) 3>&1 >>"$APT/$1.log" 2>&1 || {
		cat "$APT/$1.log" >&2
		die "cannot get the source package $1: set LIBBPF_SRC, ELFUTILS_SRC and ZLIB_SRC (and MUSL_SRC)"
	}
}

# For another architecture: its wrapper makes the distribution's cross compiler use this musl instead of glibc.
build_musl() {
	! have "$CC" || return 0
	[ -d "$MUSL_SRC" ] || fetch_source musl
	echo "build.sh: building musl"
	MUSL_SRC=$(cd "$MUSL_SRC" && pwd)
	rm -rf "$B/musl"
	# AOBJS: configure takes all code of MIPS for position-independent, and would build it so
	mkdir -p "$B/musl/obj"
	(
		cd "$B/musl/obj" &&
			CC="${CROSS}gcc${MACHINE:+ $MACHINE}" CFLAGS="$CFLAGS" "$MUSL_SRC/configure" --target="$GNU" --prefix="$B/musl" --bindir="$B/bin" \
				--disable-shared --enable-wrapper=gcc && make -j "$JOBS" AOBJS='$(LIBC_OBJS)' install
	) >"$B/musl/log" 2>&1 || die "cannot build musl: see $OUT/musl/log"
	rm -rf "$B/musl/obj"
	sed -i 's/"${REALGCC:-\(.*\)}"/\1/' "$B/bin/musl-gcc" # quoted, a compiler with options is no command
}

# For MIPS: the distribution's libgcc calls with hard float, and is for a later CPU than the oldest. compiler-rt has all
# that C needs of it. Of its start-up files C needs nothing.
build_libgcc() {
	[ -n "${MACHINE:-}" ] && [ ! -e "$B/gcc/libgcc.a" ] || return 0
	[ -d "$COMPILER_RT_SRC" ] || fetch_source emscripten
	echo "build.sh: building compiler-rt"
	mkdir -p "$B/gcc"
	flags=
	builtins=$(cd "$COMPILER_RT_SRC/lib/builtins" && pwd)
	archive "$B/gcc/libgcc.a" "$builtins"/*[sd][fi].c "$builtins"/*[sd][fi][2-4].c "$builtins/fp_mode.c"
	for f in crtbeginS crtendS; do
		$CC -x c -c /dev/null -o "$B/gcc/$f.o"
	done
}

# musl-gcc sees only musl's headers: the kernel's are linked beside them.
link_headers() {
	rm -rf "$B/include"
	mkdir -p "$B/include"
	for d in linux asm asm-generic; do
		for from in "$KERNEL_HEADERS/$d" "$KERNEL_HEADERS/$GNU/$d"; do
			if [ -d "$from" ]; then
				ln -sfn "$from" "$B/include/$d"
			fi
		done
		[ -e "$B/include/$d" ] || die "no kernel headers in $KERNEL_HEADERS: no $d/"
	done
}

# $1 = archive, $2... = sources; the flags are in $flags. -w: the warnings of these sources are not ours to mend.
archive() {
	out=$1
	shift
	rm -rf "$out.o"
	mkdir -p "$out.o"
	# shellcheck disable=SC2086 # a list of flags
	printf '%s\n' "$@" | (cd "$out.o" && xargs -P "$JOBS" -n 8 $CC $CFLAGS -w $flags -c)
	rm -f "$out"
	"$AR" rcs "$out" "$out.o"/*.o
	rm -rf "$out.o"
}

build_libraries() {
	config="$CC $CFLAGS $DEBUG" # other sources: remove build/ first
	if [ -e "$B/lib/done" ] && [ -e "$B/include/zlib.h" ] && [ "$(cat "$B/lib/done")" = "$config" ]; then
		return 0
	fi
	[ -d "$LIBBPF_SRC" ] || fetch_source libbpf
	[ -d "$ELFUTILS_SRC" ] || fetch_source elfutils
	[ -d "$ZLIB_SRC" ] || fetch_source zlib
	link_headers
	rm -rf "${B:?}/lib"
	mkdir -p "$B/lib/elfutils"
	LIBBPF_SRC=$(cd "$LIBBPF_SRC" && pwd)
	ELFUTILS_SRC=$(cd "$ELFUTILS_SRC" && pwd)
	ZLIB_SRC=$(cd "$ZLIB_SRC" && pwd)
	# The skeleton and netto.bpf.c include <bpf/...>; libelf.h is needed by libbpf alone.
	ln -sfn "$LIBBPF_SRC/src" "$B/include/bpf"
	ln -sfn "$ZLIB_SRC/zlib.h" "$ZLIB_SRC/zconf.h" "$B/include"

	echo "build.sh: building zlib, libelf and libbpf"
	# NO_GZCOMPRESS: gzclose of files that are read; libbpf writes none, and deflate is left out.
	# DYNAMIC_CRC_TABLE: tables of 9 kB are made when they are needed, which is never
	# __STDC_NO_ATOMICS__: netto has one thread, and old CPUs have no atomic operations
	flags="-DHAVE_UNISTD_H -D_LARGEFILE64_SOURCE=1 -DNO_GZCOMPRESS -DDYNAMIC_CRC_TABLE -D__STDC_NO_ATOMICS__"
	archive "$B/lib/libz.a" "$ZLIB_SRC"/*.c

	# What elfutils' configure would find with musl; elf.h of elfutils expects glibc's two macros.
	cat >"$B/lib/elfutils/config.h" <<-'CONFIG'
		#define _GNU_SOURCE 1
		#define HAVE_DECL_MEMRCHR 1
		#define HAVE_DECL_RAWMEMCHR 0
		#define HAVE_DECL_MEMPCPY 1
		#define HAVE_DECL_REALLOCARRAY 1
		#define HAVE_DECL_POWEROF2 1
		#define HAVE_ERR_H 1
		#define HAVE_STDATOMIC_H 1
		#define HAVE_FALLTHROUGH 1
		#define HAVE_VISIBILITY 1
		#define __BEGIN_DECLS
		#define __END_DECLS
		#define PACKAGE_NAME "elfutils"
		#include <eu-config.h>
	CONFIG
	flags="-DHAVE_CONFIG_H -I$B/lib/elfutils -I$ELFUTILS_SRC/libelf -I$ELFUTILS_SRC/lib -I$ZLIB_SRC -I$B/include"
	search=$ELFUTILS_SRC/lib/eu-search.c # from elfutils 0.191 on
	[ -e "$search" ] || search=
	# shellcheck disable=SC2086 # one or none
	archive "$B/lib/libelf.a" "$ELFUTILS_SRC"/libelf/*.c $search

	# Without its messages, 35 kB: netto says itself what was refused, and why.
	cp -r "$LIBBPF_SRC/src" "$B/lib/libbpf"
	[ -n "$DEBUG" ] || sed -i 's/libbpf_print(level, "libbpf: " fmt.*;/;/' "$B/lib/libbpf/libbpf_internal.h"
	flags="-D_LARGEFILE64_SOURCE -D_FILE_OFFSET_BITS=64 -I$LIBBPF_SRC/include -I$LIBBPF_SRC/include/uapi"
	flags="$flags -I$B/include -idirafter $ELFUTILS_SRC/libelf -I$ZLIB_SRC"
	archive "$B/lib/libbpf.a" "$B"/lib/libbpf/*.c
	rm -rf "$B/lib/libbpf"
	echo "$config" >"$B/lib/done"
}

# $1 = target, $2 = -c or -S, $3 = output. v3: 32-bit operations, known to every kernel from 5.1 on. -g: BTF, for CO-RE
# and for the skeleton's types; its lines without columns are fewer.
compile_bpf() {
	# shellcheck disable=SC2086 # a list of flags
	"$CLANG" --target="$1" -mcpu=v3 -O2 -g -gno-column-info -Wall -Wextra -Wno-unused-parameter -Werror -D"__TARGET_ARCH_$BPF" ${BPF_CFLAGS:-} \
		-I"$B/include/bpf/../include/uapi" -I"$B/include" "$2" netto.bpf.c -o "$3"
}

# bpftool reads no object of the other byte order: the skeleton, in which but the object differs, is that of the lowest
# byte first, and what bpftool drops from an object is dropped from the text that clang writes for its assembler: DWARF
# and line numbers (words 8 and on of .BTF.ext; the text of the lines, too, since no source is found from /).
big_endian_object() {
	BPF_CFLAGS="${BPF_CFLAGS:-} -fno-addrsig -fdebug-compilation-dir=/"
	compile_bpf bpfeb -S "$B/netto.full.s"
	awk '
		/^\tr[0-9] = w[0-9]/ { sub(/r/, "w") } # so clang 14 reads what it writes in the other way
		/^\t\.(text|section)/ { dwarf = /\.debug_/; ext = /\.BTF\.ext/ }
		dwarf || /^\t\.(loc|file|cfi)/ { next }
		ext && /^\t\.long/ {
			word[++n] = $2
			if (n == 5)
				$2 = 0
			else if (n == 6)
				$2 = word[4]
			else if (n > 7 && n - 8 >= word[4] / 4 && n - 8 < (word[4] + word[5]) / 4)
				next
		}
		{ print }' "$B/netto.full.s" >"$B/netto.bpf.s"
	"$CLANG" --target=bpfeb -mcpu=v3 -c "$B/netto.bpf.s" -o "$B/netto.bpf.o"
}

# By gzip the object becomes 55 kB smaller, and zlib is there for libelf.
replace_object() {
	sed -i '/^static inline const void \*netto__elf_bytes(size_t \*sz)$/,/^}/d' "$B/netto.skel.h"
	cat >>"$B/netto.skel.h" <<-END
		#include <zlib.h>
		static inline const void *netto__elf_bytes(size_t *sz)
		{
			static unsigned char elf[$(wc -c <"$B/netto.bpf.o")] __attribute__((__aligned__(8)));
			static const unsigned char gz[] = { $(gzip -9n <"$B/netto.bpf.o" | od -An -v -tu1 | sed 's/[0-9][0-9]*/&,/g') };
			z_stream z = { .next_in = (unsigned char *)gz, .avail_in = sizeof(gz), .next_out = elf, .avail_out = sizeof(elf) };

			*sz = !inflateInit2(&z, 16 + MAX_WBITS) && inflate(&z, Z_FINISH) == Z_STREAM_END ? sizeof(elf) : 0;
			inflateEnd(&z);
			return elf;
		}
	END
}

build_netto() {
	echo "build.sh: building netto"
	# Line numbers, which only make the verifier's log easier to read, are 20 kB: their length in the header of .BTF.ext
	# (struct btf_ext_header in the kernel's Documentation/bpf/btf.rst) becomes 0, and bpftool drops them.
	compile_bpf bpfel -c "$B/netto.full.o"
	at=$(readelf -SW "$B/netto.full.o" | sed -n 's/.* \.BTF\.ext *PROGBITS *[0-9a-f]* *\([0-9a-f]*\).*/\1/p')
	[ -n "$at" ] || die "netto.bpf.c gives no .BTF.ext"
	[ -n "$DEBUG" ] || printf '\0\0\0\0' | dd of="$B/netto.full.o" bs=1 seek=$((0x$at + 20)) conv=notrunc status=none
	"$BPFTOOL" gen object "$B/netto.bpf.o" "$B/netto.full.o" # drops DWARF, keeps BTF
	"$BPFTOOL" gen skeleton "$B/netto.bpf.o" name netto >"$B/netto.skel.h"
	[ "$ARCH" != mips ] || big_endian_object
	replace_object
	# Parts of libbpf that are never used, light skeletons and USDT: 18 kB. Nothing but to be freed, as NULL, happens to them.
	unused=
	for s in $("$NM" -u "$B/lib/libbpf.a" 2>/dev/null | grep -Eo '(bpf_gen__|usdt_manager_)[a-z_]*' | sort -u); do
		case $s in
		*_free) unused="$unused -Wl,--defsym=$s=free" ;;
		*) unused="$unused -Wl,--defsym=$s=0" ;;
		esac
	done
	# noseparate-code: segments share pages of the file; norelro: no padding of up to 64 kB (aarch64)
	# shellcheck disable=SC2086 # a list of flags
	$CC $CFLAGS -std=gnu11 -Wall -Wextra -Wshadow -Werror -DVERSION="\"$VERSION${COMMIT:+ ($COMMIT)}\"" -I"$B" -I"$B/include" -static -no-pie \
		-Wl,--gc-sections -Wl,-z,noseparate-code -Wl,-z,norelro ${MORE_LDFLAGS:-} $unused netto.c "$B/lib/libbpf.a" "$B/lib/libelf.a" "$B/lib/libz.a" -o "$B/netto.tmp"
	# the two are the linker's own, on MIPS
	if "$NM" -u "$B/netto.tmp" | grep -v -e _gp_disp -e __gnu_local_gp; then
		die "$OUT/netto has undefined symbols"
	fi
	"$STRIP" -R .comment -R .gnu.attributes -R .mdebug.abi32 "$B/netto.tmp"
	mv "$B/netto.tmp" "$B/netto"
}

check_netto() {
	if readelf -lW "$B/netto" | grep -q -e INTERP -e DYNAMIC; then
		die "$OUT/netto is not static"
	fi
	if readelf -SW "$B/netto" | grep -q -e '\.symtab' -e '\.debug'; then
		die "$OUT/netto is not stripped"
	fi
	if grep -aq -e GLIBC_ -e 'GNU C Library' "$B/netto"; then
		die "$OUT/netto has parts of glibc"
	fi
	# Many of these CPUs have no floating-point unit, nor later instructions. The attributes of MIPS tell of the first
	# object alone whether it uses that unit's registers.
	case $ARCH:$(readelf -hA "$B/netto" | tr -s '\n ' ' ') in
	arm:*Tag_FP_arch* | arm:*Tag_ABI_VFP*) die "$OUT/netto is not soft float" ;;
	arm:*"soft-float ABI"*"Tag_CPU_arch: v5TE"* | mips*:*"ISA: MIPS32 GPR"*"FP ABI: Soft float"*) ;;
	arm:* | mips*) die "$OUT/netto is not soft float, or for later CPUs alone" ;;
	esac
	case $ARCH in mips*) ! "${CROSS}objdump" -d "$B/netto" | grep '\$f[0-9]' || die "$OUT/netto is not soft float" ;; esac
	bytes=$(wc -c <"$B/netto")
	[ "$bytes" -le $MAX_BYTES ] || [ -n "$DEBUG" ] || die "$OUT/netto has $bytes bytes, more than $MAX_BYTES"
	[ -n "$CROSS" ] || [ "$("$B/netto" --version)" = "netto $VERSION${COMMIT:+ ($COMMIT)}" ] || die "$OUT/netto --version does not run"
	echo "build.sh: $OUT/netto: static, stripped, $bytes bytes"
}

# For size: -Os, one section a function (what nothing calls is left out), no position-independent code, which a static
# program does not need, and no tables for exceptions: C has none.
CFLAGS=${CFLAGS:--Os -ffunction-sections -fdata-sections -fno-pie -fno-asynchronous-unwind-tables -fno-unwind-tables}
mkdir -p "$B"
install_tools
build_musl
CFLAGS="$CFLAGS${MORE_CFLAGS:+ $MORE_CFLAGS}" # musl does without
build_libgcc
build_libraries
build_netto
check_netto
