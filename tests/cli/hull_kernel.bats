# Kernels for virtual machines: kernel pull, ls, use, rm, from files and from packages of a
# distribution that is made here; no network.
load image

client=$HULL_BUILD/tests/helpers/vm_disk_client
: "${HULL_VM_DISK_CLIENT:=$client}"

make_kernel() { python3 "$HULL_SOURCE/tests/cli/make_kernel.py" "$@"; }

# name version default, of each
kernels() { hull kernel ls --format '{{.Name}} {{.Version}} {{.Default}}' | grep -v '^host ' || true; }

# Which kernel a machine would start with, with nothing in the host's /boot unless told:
# chosen [NAME]
chosen() {
    unshare --mount bash -c 'mount --bind "$1" /boot && shift && "$@"' - \
        "${boot:-$(mktemp -d -p "$PWD")}" "$HULL_VM_DISK_CLIENT" kernel "$root" "$@"
}

make_modules() { # VERSION
    mkdir -p "modules/$1/kernel/fs"
    echo module >"modules/$1/kernel/fs/erofs.ko"
    echo 'kernel/fs/erofs.ko:' >"modules/$1/modules.dep"
    ln -s /nowhere "modules/$1/build"
}

@test "without any kernel the list is empty, and a machine's start says what to do" {
    run hull kernel ls
    equals 0 "$status"
    [[ ${lines[0]} == NAME*VERSION*SIZE*CREATED*DEFAULT ]]
    equals '' "$(kernels)"
    run chosen
    failed_with 1 "there is no kernel for virtual machines ('hull kernel pull' gets the distribution's)"
    run chosen none
    failed_with 1 "no such kernel: none ('hull kernel ls' lists them)"
    run hull kernel use none
    failed_with 1 "hull: kernel use: no such kernel: none"
    run hull kernel rm none
    failed_with 1 "hull: kernel rm: no such kernel: none"
}

# is_unpacked EXPECTED FOUND: the same, but for zeros at the end of its segment, which are not in the file's
# part of it any more
is_unpacked() {
    local offset was now
    cmp -n 96 "$1" "$2"
    cmp -i 104 "$1" "$2"
    read -r offset < <(od -An -t u8 -j 72 -N 8 "$1")
    read -r was < <(od -An -t u8 -j 96 -N 8 "$1")
    read -r now < <(od -An -t u8 -j 96 -N 8 "$2")
    [ "$now" -gt 0 ] && [ "$now" -le "$was" ]
    cmp -n "$((was - now))" -i "$((offset + now)):0" "$2" /dev/zero
}

@test "bzImages of every compression are unpacked once, and ELF files taken as they are" {
    make_kernel expected 6.1.7-elf elf
    for method in gzip xz lz4 zstd none; do
        make_kernel bzimage "6.1.7-$method" "$method"
        equals "6.1.7-$method" "$(hull kernel pull --file bzimage)"
        make_kernel expected "6.1.7-$method" elf
        is_unpacked expected "$root/kernels/6.1.7-$method/vmlinux"
        cmp bzimage "$root/kernels/6.1.7-$method/vmlinuz"
    done
    make_kernel vmlinux 6.1.7-elf elf
    equals bare "$(hull kernel add --file vmlinux bare)"
    cmp vmlinux "$root/kernels/bare/vmlinux"
    [ ! -e "$root/kernels/bare/vmlinuz" ]
    equals $'6.1.7-gzip 6.1.7-gzip *\n6.1.7-lz4 6.1.7-lz4 \n6.1.7-none 6.1.7-none \n6.1.7-xz 6.1.7-xz \n6.1.7-zstd 6.1.7-zstd \nbare 6.1.7-elf ' "$(kernels)"
    # Larger than any block that is read at a time.
    make_kernel large 6.1.7-large lz4 $((9 << 20))
    make_kernel expected 6.1.7-large elf $((9 << 20))
    hull kernel pull --file large
    is_unpacked expected "$root/kernels/6.1.7-large/vmlinux"
}

@test "the first is the default; use chooses another one; without it the host's is" {
    make_kernel a 6.1.0-a gzip
    make_kernel b 6.2.0-b xz
    hull kernel pull --file a one
    hull kernel pull --file b two
    equals $'one 6.1.0-a *\ntwo 6.2.0-b ' "$(kernels)"
    equals "one 6.1.0-a $root/kernels/one/vmlinuz $root/kernels/one/vmlinux -" "$(chosen)"
    equals two "$(hull kernel use two)"
    equals $'one 6.1.0-a \ntwo 6.2.0-b *' "$(kernels)"
    [[ $(chosen) == "two 6.2.0-b "* ]]
    [[ $(chosen one) == "one 6.1.0-a "* ]]
    equals two "$(hull kernel rm two)"
    equals 'one 6.1.0-a ' "$(kernels)"
    run chosen
    failed_with 1 "hull kernel pull"
    run hull kernel rm one none
    failed_with 1 "no such kernel: none"
    equals '' "$(kernels)"
    equals '' "$(find "$root/kernels" -mindepth 1)"
}

@test "the host's kernel is used where it has its modules" {
    [ "$(id -u)" = 0 ] || skip 'not root'
    boot=$PWD/boot
    mkdir boot
    make_kernel boot/vmlinuz-6.1.9 6.1.9 gzip
    make_kernel boot/vmlinuz-6.1.10 6.1.10 gzip
    # No such modules here.
    run chosen
    failed_with 1 "hull kernel pull"
    run chosen host
    failed_with 1 "vmlinuz-6.1.10 has no modules in /lib/modules/6.1.10"
    make_modules 6.1.10
    mkdir -p upper work
    mv modules upper
    in_host() {
        unshare --mount bash -euc 'mount --bind boot /boot
            lib=$(readlink -f /lib)
            mount -t overlay -o "lowerdir=$lib,upperdir=upper,workdir=work" lib "$lib"
            "$@"' - "$@"
    }
    equals "host 6.1.10 /boot/vmlinuz-6.1.10 - /lib/modules/6.1.10" \
        "$(in_host "$HULL_VM_DISK_CLIENT" kernel "$root")"
    equals 'host 6.1.10 *' "$(in_host "$HULL" --root "$root" kernel ls --format '{{.Name}} {{.Version}} {{.Default}}')"
    hull kernel pull --file boot/vmlinuz-6.1.9 mine
    [[ $(in_host "$HULL_VM_DISK_CLIENT" kernel "$root") == "mine "* ]]
    in_host "$HULL" --root "$root" kernel use host
    [[ $(in_host "$HULL_VM_DISK_CLIENT" kernel "$root") == "host "* ]]
    run in_host "$HULL" --root "$root" kernel rm host
    failed_with 1 "the host's own kernel isn't hull's to remove"
}

@test "any path is a kernel, too" {
    make_kernel some 6.1.0-some zstd
    equals "$PWD/some 6.1.0-some $PWD/some - -" "$(chosen "$PWD/some")"
    echo no >some
    run chosen "$PWD/some"
    failed_with 1 "$PWD/some isn't a kernel: it is too short"
    run chosen "$PWD/missing"
    failed_with 1 "can't open the kernel $PWD/missing: No such file or directory"
}

@test "modules and configuration come with it" {
    make_kernel k 6.1.0-k gzip
    make_modules 6.1.0-k
    echo CONFIG_X=y >config
    hull kernel pull --file k --modules modules/6.1.0-k --config config full
    equals 'full 6.1.0-k '"$root/kernels/full/vmlinuz $root/kernels/full/vmlinux $root/kernels/full/lib/modules/6.1.0-k" "$(chosen)"
    equals module "$(cat "$root/kernels/full/lib/modules/6.1.0-k/kernel/fs/erofs.ko")"
    equals CONFIG_X=y "$(cat "$root/kernels/full/config")"
    [ ! -L "$root/kernels/full/lib/modules/6.1.0-k/build" ]
    # Those that have no list of dependencies get one.
    rm modules/6.1.0-k/modules.dep
    hull kernel pull --file k --modules modules/6.1.0-k listed
    [ -e "$root/kernels/listed/lib/modules/6.1.0-k/modules.dep" ]
    run hull kernel pull --file k --modules . none
    failed_with 1 "isn't a directory of modules: it has no directory kernel"
    run hull kernel pull --modules modules/6.1.0-k none
    failed_with 125 "--modules and --config go with --file"
    run hull kernel pull --package x --file k none
    failed_with 125 "either --file or --package"
    equals $'full\nlisted' "$(hull kernel ls -q | grep -v '^host$')"
}

@test "what isn't a kernel changes nothing" {
    make_kernel good 6.1.0 gzip
    hull kernel pull --file good k
    before=$(find "$root/kernels" -mindepth 1 -printf '%p %s %T@\n' | sort)
    head -c 2700 good >short
    run hull kernel pull --file short k
    failed_with 1 "short is damaged: its compressed kernel isn't within the file"
    : >empty
    run hull kernel pull --file empty k
    failed_with 1 "it is too short"
    head -c 100000 /dev/zero >zeros
    run hull kernel pull --file zeros k
    failed_with 1 "neither a bzImage nor an ELF file"
    run hull kernel pull --file /bin/sh k
    failed_with 1 "/bin/sh isn't a kernel for x86-64: it is a program"
    truncate --size 300M huge
    run hull kernel pull --file huge k
    failed_with 1 "isn't a file of at most"
    run hull kernel pull --file /dev/zero k
    failed_with 1 "isn't a file of at most"
    run hull kernel pull --file . k
    failed_with 1 "isn't a file of at most"
    for name in default host .hidden ../k a/b -- '' "$(printf 'x%.0s' {1..65})"; do
        run hull kernel pull --file good -- "$name"
        failed_with 1 "a kernel can't be called '$name'"
    done
    equals "$before" "$(find "$root/kernels" -mindepth 1 -printf '%p %s %T@\n' | sort)"
}

@test "one of the same name is replaced, whole" {
    make_kernel a 6.1.0-a gzip
    make_kernel b 6.1.0-b xz
    make_modules 6.1.0-a
    hull kernel pull --file a --modules modules/6.1.0-a k
    hull kernel pull --file b k
    equals 'k 6.1.0-b *' "$(kernels)"
    equals '' "$(find "$root/kernels" -name '*.ko' -o -name '.new*')"
}

@test "many at once, and what is killed, leave whole kernels" {
    make_kernel a 6.1.0-a xz
    local pids=() pid
    for i in $(seq 10); do
        hull kernel pull --file a "k$((i % 3))" 3>&- &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    equals 3 "$(kernels | wc -l)"
    equals 1 "$(kernels | grep -c '\*$')"
    # As one that was killed leaves it.
    mkdir -p "$root/kernels/.new-0123456789abcdef/lib"
    hull kernel pull --file a k1
    equals '' "$(find "$root/kernels" -name '.new*')"
    for name in k0 k1 k2; do cmp a "$root/kernels/$name/vmlinuz"; done
    # Killed at any instant.
    for delay in 0.002 0.005 0.01 0.02 0.03 0.05; do
        timeout --signal KILL "$delay" "$HULL" --root "$root" --run-root run kernel pull --file a killed || true
        [ ! -e "$root/kernels/killed" ] || cmp a "$root/kernels/killed/vmlinuz"
        hull kernel ls >/dev/null
    done
    hull kernel pull --file a killed
    equals '' "$(find "$root/kernels" -name '.new*')"
}

# A package as a distribution's: make_package NAME [DEPENDS]; what is in package/ is in it.
make_package() {
    mkdir -p package/DEBIAN
    printf 'Package: %s\nVersion: 1.2-3\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: x\n%s' \
        "$1" "${2:+Depends: $2
}" >package/DEBIAN/control
    dpkg-deb --build package "repository/$1.deb" >/dev/null
    rm -rf package
}

# apt as it would be with these packages alone.
make_distribution() {
    mkdir -p repository etc/apt/preferences.d etc/apt/apt.conf.d etc/apt/trusted.gpg.d lists/partial cache/archives/partial
    : >status
    mkdir -p package/boot "package/$1/modules/6.1.0-5-cloud/kernel"
    make_kernel package/boot/vmlinuz-6.1.0-5-cloud 6.1.0-5-cloud lz4
    echo CONFIG_Y=y >package/boot/config-6.1.0-5-cloud
    echo module >"package/$1/modules/6.1.0-5-cloud/kernel/x.ko"
    make_package linux-image-6.1.0-5-cloud 'kmod, linux-base (>= 4)'
    make_package linux-image-cloud-amd64 'linux-image-6.1.0-5-cloud (= 1.2-3)'
    make_package other
    (cd repository && dpkg-scanpackages --multiversion . >Packages 2>/dev/null) ||
        skip 'dpkg-scanpackages is in dpkg-dev'
    cat >apt.conf <<END
Dir "$PWD";
Dir::Etc "$PWD/etc/apt";
Dir::State "$PWD";
Dir::State::status "$PWD/status";
Dir::State::lists "$PWD/lists";
Dir::Cache "$PWD/cache";
END
    echo "deb [trusted=yes] file:$PWD/repository ./" >etc/apt/sources.list
    export APT_CONFIG=$PWD/apt.conf
    apt-get -qq -o APT::Sandbox::User=root update
}

@test "pull takes the kernel out of the distribution's package, and installs nothing" {
    command -v dpkg-scanpackages apt-get >/dev/null || skip 'no apt, or no dpkg-dev'
    make_distribution lib
    equals 6.1.0-5-cloud "$(hull kernel pull 2>said)"
    equals 'downloading linux-image-6.1.0-5-cloud' "$(head -n 1 said)"
    [[ $(chosen) == "6.1.0-5-cloud 6.1.0-5-cloud $root/kernels/6.1.0-5-cloud/vmlinuz $root/kernels/6.1.0-5-cloud/vmlinux $root/kernels/6.1.0-5-cloud/lib/modules/6.1.0-5-cloud" ]]
    equals CONFIG_Y=y "$(cat "$root/kernels/6.1.0-5-cloud/config")"
    equals module "$(cat "$root/kernels/6.1.0-5-cloud/lib/modules/6.1.0-5-cloud/kernel/x.ko")"
    [ -e "$root/kernels/6.1.0-5-cloud/lib/modules/6.1.0-5-cloud/modules.dep" ]
    equals 'package linux-image-6.1.0-5-cloud_1.2-3_all' \
        "$(hull kernel ls --format '{{if eq .Default "*"}}{{.Source}}{{end}}' | grep .)"
    equals '' "$(find "$root/kernels" -name '*.deb' -o -name package -o -name '.new*')"
    [ ! -s status ]
    equals named "$(hull kernel pull --quiet --package linux-image-6.1.0-5-cloud named 2>said)"
    [ ! -s said ]
    run hull kernel pull --package none
    failed_with 1 "apt-cache failed"
    run hull kernel pull --package other
    failed_with 1 "other: the package has no vmlinuz-"
    for package in -o ../x a/b X; do
        run hull kernel pull --package="$package"
        failed_with 1 "'$package' isn't a package's name"
    done
    equals '' "$(find "$root/kernels" -name '.new*')"
}

@test "a distribution with everything in /usr serves as well" {
    command -v dpkg-scanpackages apt-get >/dev/null || skip 'no apt, or no dpkg-dev'
    make_distribution usr/lib
    hull kernel pull --quiet k
    equals module "$(cat "$root/kernels/k/lib/modules/6.1.0-5-cloud/kernel/x.ko")"
}

@test "without apt, and without packages, it is said what to do" {
    [ "$(id -u)" = 0 ] || skip 'not root'
    run unshare --mount bash -c 'mount --bind /dev/null "$(command -v apt-get)"; "$@"' - \
        "$HULL" --root "$root" kernel pull
    failed_with 1 "this distribution has no apt; give a kernel with --file (and --modules)"
    command -v apt-get >/dev/null || skip 'no apt'
    mkdir -p etc/apt lists/partial cache/archives/partial
    : >status
    printf 'Dir::Etc "%s";\nDir::State::lists "%s";\nDir::State::status "%s";\nDir::Cache "%s";\n' \
        "$PWD/etc/apt" "$PWD/lists" "$PWD/status" "$PWD/cache" >apt.conf
    APT_CONFIG=$PWD/apt.conf run hull kernel pull
    failed_with 1 "apt knows no kernel package (run apt-get update, or name one with --package)"
}
