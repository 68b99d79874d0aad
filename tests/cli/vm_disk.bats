# The disks of virtual machines: what a guest would see of an image is what a container sees.
load image

client=$HULL_BUILD/tests/helpers/vm_disk_client
: "${HULL_VM_DISK_CLIENT:=$client}"

client() { "$HULL_VM_DISK_CLIENT" "$@"; }

# An image with three layers, loaded into the root.
load_image() {
    [ -e image.tar ] || python3 "$HULL_SOURCE/tests/cli/make_layers.py" image.tar layers:1
    "$HULL" --root "$root" --run-root run load --quiet --input image.tar
}

# Everything that can be told of a tree. Directories have sizes and links of their file system's own.
describe_tree() {
    (
        cd "$1" || exit
        find . -type d -printf '%p %y %m %U %G %T@\n' -o -printf '%p %y %m %U %G %T@ %n %s %l\n' | LC_ALL=C sort
        find . -type c -o -type b | LC_ALL=C sort | xargs -r stat --format '%n %t:%T'
        find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
        getfattr --recursive --no-dereference --dump --match - . | grep -v '^$'
    )
}

# Needs root's right to mount, and loop devices: they end with the mount namespace.
needs_loop() {
    [ "$(id -u)" = 0 ] || skip 'not root'
    [ -b /dev/loop0 ] || skip 'no loop devices'
}

@test "the layers are the partitions of one disk, the top one first" {
    load_image
    client layers "$root" layers:1 >disk.json
    client materialise disk.json disk.img
    equals "$(jq .size disk.json)" "$(stat -c %s disk.img)"
    equals "layer-1 layer-2 layer-3" "$(partx --show --noheadings --output NAME disk.img | xargs)"
    # It verifies both headers and both checksums of each.
    run sfdisk --verify disk.img
    [[ $output == *"No errors detected."* ]]
    equals gpt "$(sfdisk --json disk.img | jq -r .partitiontable.label)"
    equals 3 "$(find "$root/images/derived" -name '*.erofs' | wc -l)"
    # Partition by partition the bytes are the files'.
    local number=0 start file
    while read -r file; do
        number=$((number + 1))
        start=$(partx --show --noheadings --output START --nr "$number" disk.img)
        cmp --bytes "$(stat -c %s "$file")" --ignore-initial "$((start * 512)):0" disk.img "$file"
    done < <(jq -r '.extents[] | select(.path).path' disk.json)
    equals 3 "$number"
    equals "$(hull image inspect --format '{{.GraphDriver.Data.LowerDir}}' layers:1 | tr : '\n' | xargs -n 1 basename)" \
        "$(jq -r '.extents[] | select(.path).path' disk.json | xargs basename -a -s .erofs)"
    is_sound
}

@test "an overlay of the partitions is the container's root file system" {
    needs_loop
    load_image
    client layers "$root" layers:1 >disk.json
    client materialise disk.json disk.img
    mkdir 1 2 3 guest container
    lower=$(hull image inspect --format '{{.GraphDriver.Data.LowerDir}}' layers:1)
    export lower
    export -f describe_tree
    unshare --mount bash -euc '
        for i in 1 2 3; do
            start=$(partx --show --noheadings --output START --nr $i disk.img)
            sectors=$(partx --show --noheadings --output SECTORS --nr $i disk.img)
            mount -t erofs -o "ro,loop,offset=$((start * 512)),sizelimit=$((sectors * 512))" disk.img $i
        done
        mount -t overlay -o ro,lowerdir=1:2:3 overlay guest
        mount -t overlay -o "ro,lowerdir=$lower" overlay container
        describe_tree guest >guest.txt
        describe_tree container >container.txt'
    diff container.txt guest.txt
    # It has in it what the test is about.
    grep -q '^\./etc/owned f 6755 100000 70000' guest.txt
    grep -q '^\./etc/word f 644 0 0 981173106.5' guest.txt
    grep -q '^\./hard-1 .* 3 600 ' guest.txt
    grep -q '^\./disk 7:12c' guest.txt
    grep -q '^user.note="a note"' guest.txt
    grep -q '^\./opaque/seen' guest.txt
    ! grep -E '^\./(etc/removed|opaque/hidden|replaced/inside)' guest.txt
}

@test "the kernel finds the partitions" {
    needs_loop
    client layers "$root" busybox >disk.json 2>/dev/null || hull image inspect busybox >/dev/null
    client layers "$root" busybox >disk.json
    client materialise disk.json disk.img
    # Whether it looks for such at all.
    truncate --size 4M other.img
    printf 'label: gpt\nsize=1M\n' | sfdisk --quiet other.img
    local file device name counts=''
    for file in other.img disk.img; do
        device=$(losetup --find --show --read-only --partscan "$PWD/$file")
        name=$(basename "$device")
        counts+=" $(find "/sys/block/$name/" -maxdepth 1 -name "${name}p*" | wc -l)"
        losetup --detach "$device"
    done
    [[ $counts != ' 0'* ]] || skip 'this kernel reads no GPT'
    equals ' 1 1' "$counts"
}

@test "the same layers make the same bytes" {
    load_image
    client layers "$root" layers:1 >disk.json
    mv "$root/images/derived" before
    sleep 1.1 # the superblock's time has seconds
    client layers "$root" layers:1 >again.json
    diff --recursive before "$root/images/derived"
    cmp disk.json again.json
}

@test "fifty at once make each layer once" {
    load_image
    mkdir tools
    printf '#!/bin/sh\necho "$*" >>%s/made\nexec %s "$@"\n' "$PWD" "$(command -v mkfs.erofs)" >tools/mkfs.erofs
    chmod +x tools/mkfs.erofs
    local pids=() pid
    for i in $(seq 50); do
        PATH=$PWD/tools:$PATH client layers "$root" layers:1 >"disk.$i" 3>&- &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    equals 3 "$(wc -l <made)"
    equals 1 "$(sha256sum disk.* | cut -d ' ' -f 1 | sort -u | wc -l)"
    is_sound
}

@test "disks go with their layers, and not before" {
    load_image
    client layers "$root" layers:1 >disk.json
    hull tag layers:1 again:1
    hull rmi layers:1
    hull image prune --force
    equals 3 "$(find "$root/images/derived" -type f | wc -l)"
    hull rmi again:1
    equals 0 "$(find "$root/images/derived" -type f | wc -l)"
    is_sound
}

@test "without the tool it is said what to install; without room nothing stays" {
    needs_loop
    load_image
    run unshare --mount bash -c 'mount --bind /dev/null "$(command -v mkfs.erofs)"; "$@"' - \
        "$HULL_VM_DISK_CLIENT" layers "$root" layers:1
    failed_with 1 "mkfs.erofs isn't on this machine (install the package erofs-utils)"
    mkdir small
    run unshare --mount bash -euc '
        mount -t tmpfs -o size=9m small small
        "$1" --root small load --quiet --input image.tar
        fallocate -l "$(($(stat -f -c "%a * %S" small) - 1048576))" small/full
        ! "$2" layers small layers:1
        find small/images/derived small/images/unpack small/images/leases -type f | sed s,^,left:,' - \
        "$HULL" "$HULL_VM_DISK_CLIENT"
    equals 0 "$status"
    [[ $output == *"bytes are needed at "*"No space left on device"* ]]
    # The two smaller layers had room.
    equals 2 "$(grep -c '^left:small/images/derived/' <<<"$output")"
    equals 2 "$(grep -c '^left:' <<<"$output")"
}

@test "an image without layers has a disk without partitions" {
    tar --create --files-from /dev/null | hull import - nothing
    client layers "$root" nothing >disk.json
    client materialise disk.json disk.img
    run sfdisk --verify disk.img
    [[ $output == *"No errors detected."* ]]
}

@test "a writable disk is an empty ext4 file system of its size, and takes little room" {
    client writable "$root" disk 10g
    equals $((10 << 30)) "$(stat -c %s disk)"
    [ "$(du --block-size=1K disk | cut -f 1)" -lt 1024 ]
    e2fsck -fn disk
    equals 1 "$(find "$root/vm" -type f | wc -l)"
    # Each is one's own: what is written to one is in no other.
    echo mine | debugfs -w -R 'write /dev/stdin mine' disk
    client writable "$root" other 10g
    run debugfs -R 'ls -p' other
    [[ $output != *mine* ]]
    e2fsck -fn other
    client writable "$root" small 16m
    equals $((16 << 20)) "$(stat -c %s small)"
    e2fsck -fn small
    run client writable "$root" tiny 1m
    failed_with 1 "can't have 1048576 bytes (16m to 16t)"
    [ ! -e tiny ]
}

@test "writable disks are made by many at once, and of as many sizes as one likes" {
    local pids=() pid
    for i in $(seq 20); do
        client writable "$root" "disk.$i" "$((16 + i % 3))m" 3>&- &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    for i in $(seq 20); do e2fsck -fn "disk.$i"; done
    for i in $(seq 40 60); do client writable "$root" disk "${i}m"; done
    [ "$(find "$root/vm" -type f | wc -l)" -le 16 ]
    # What one that was killed left is in nobody's way.
    touch "$root/vm/.new" disk.new
    client writable "$root" disk 77m
    e2fsck -fn disk
    [ ! -e "$root/vm/.new" ] && [ ! -e disk.new ]
}
