# save and load, and what skopeo, umoci and podman say to it.
load image

setup_file() {
    local tool
    for tool in skopeo umoci podman; do
        command -v "$tool" >/dev/null || skip "no $tool"
    done
}

# Podman with a storage of its own, which has to have a short name.
use_podman() {
    short=$(mktemp --directory "${HULL_TEST_DIRECTORY:-/tmp}/pXXXXXX")
    own_podman() {
        podman --root "$short/root" --runroot "$short/run" --tmpdir "$short/tmp" \
            --storage-driver vfs --events-backend none --cgroup-manager cgroupfs "$@"
    }
}

teardown() { [ -z "${short:-}" ] || rm -rf "$short"; }

copy() { skopeo --insecure-policy copy --quiet "$@"; }

# Two layers, of which the second removes a file of the first, replaces a directory and adds one.
make_two_layers() { # NAME
    make_tree lower lower
    mkdir -p lower/opaque upper/opaque upper/etc
    touch lower/opaque/old lower/gone upper/opaque/new upper/.wh.gone upper/opaque/.wh..wh..opq
    echo upper >upper/etc/word
    tar --create --directory lower . >1.tar
    tar --create --directory upper . >2.tar
    jq -nc --arg one "sha256:$(sha256sum <1.tar | cut -c1-64)" --arg two "sha256:$(sha256sum <2.tar | cut -c1-64)" \
        '{architecture: "amd64", os: "linux", created: "2024-01-01T00:00:00Z", config: {Cmd: ["/bin/tool"], Labels: {two: "layers"}},
          rootfs: {type: "layers", diff_ids: [$one, $two]}, history: [{}, {}]}' >config.json
    jq -nc --arg name "$1" '[{Config: "config.json", RepoTags: [$name], Layers: ["1.tar", "2.tar"]}]' >manifest.json
    tar --create manifest.json config.json 1.tar 2.tar
}

@test "save and load bring back the same image, with all its names" {
    make_two_layers x:1 | hull load
    id=$(field x:1 '{{.Id}}')
    hull tag x:1 host.example:5000/y:2
    for format in docker oci; do
        hull save --format "$format" -o "$format.tar" x:1 host.example:5000/y:2
        equals 600 "$(stat -c %a "$format.tar")"
        hull rmi -f "$id"
        run hull load -i "$format.tar"
        equals 0 "$status"
        [[ $output == *'Loaded image: x:1'* && $output == *'Loaded image: host.example:5000/y:2'* ]]
        equals "$id" "$(field x:1 '{{.Id}}')"
        equals "$id" "$(field host.example:5000/y:2 '{{.Id}}')"
        is_sound
    done
    # By id there is no name; several programs in a row.
    hull save "${id:7:12}" | gzip | "$HULL" --root other load >out
    equals "Loaded image ID: $id" "$(cat out)"
    hull save x:1 | zstd | "$HULL" --root other load -q >out
    equals 'Loaded image: x:1' "$(cat out)"
    # The same bytes each time.
    equals "$(hull save x:1 | sha256sum)" "$(hull save x:1 | sha256sum)"
}

@test "a repository without a tag is saved with all its tags" {
    import_image many:1 one
    import_image many:2 two
    import_image manyother three
    hull save many | "$HULL" --root other load | sort >out
    equals 'Loaded image: many:1 Loaded image: many:2' "$(paste -sd' ' out)"
}

@test "save refuses what it can't do, and leaves the old file" {
    import_image x
    echo old >file
    run hull save -o file x nothing
    failed_with 1 'no such image: nothing'
    equals old "$(cat file)"
    equals 'file root tree.text' "$(find . -maxdepth 1 -mindepth 1 -printf '%f\n' | sort | paste -sd' ')"
    run hull save -o nowhere/file x
    failed_with 1 nowhere/file
    run script -qec "'$HULL' --root '$root' save x" /dev/null
    [[ $output == *"isn't for a terminal"* ]]
    run bash -c "'$HULL' --root '$root' save x >/dev/full"
    failed_with 1 'No space left'
    hull save -o /dev/null x
    [ -c /dev/null ]
}

@test "what skopeo, umoci and podman make is loaded" {
    make_two_layers x:1 >made.tar
    hull load -i made.tar
    layers=$(field x:1 '{{json .RootFS.Layers}}')
    hull rmi x:1
    copy docker-archive:made.tar docker-archive:docker.tar:s/docker:1
    copy docker-archive:made.tar oci-archive:oci.tar:s/oci:1
    copy --dest-compress-format zstd docker-archive:made.tar oci-archive:zstd.tar:s/zstd:1
    for archive in docker.tar oci.tar zstd.tar; do
        hull image prune -af
        run hull load -i "$archive"
        equals "Loaded image: s/${archive%.tar}:1" "$output"
        equals "$layers" "$(field "s/${archive%.tar}:1" '{{json .RootFS.Layers}}')"
        equals layers "$(field "s/${archive%.tar}:1" '{{.Config.Labels.two}}')"
        is_sound
    done
    # A tag alone is no name: docker, too, shows its id.
    copy docker-archive:made.tar oci:layout:tagged
    run bash -c "tar --create --directory layout . | '$HULL' --root other load"
    [[ $output == 'Loaded image ID: sha256:'* ]]

    umoci init --layout umoci
    umoci new --image umoci:u/mo:ci
    umoci unpack --image umoci:u/mo:ci bundle
    make_tree bundle/rootfs umoci
    umoci repack --image umoci:u/mo:ci bundle
    run bash -c "tar --create --directory umoci . | '$HULL' --root '$root' load"
    equals 'Loaded image: u/mo:ci' "$output"
    equals umoci "$(cat "$(field u/mo:ci '{{.GraphDriver.Data.LowerDir}}')/etc/word")"

    use_podman
    own_podman load --quiet -i made.tar
    own_podman save --quiet -o podman.tar x:1
    own_podman save --quiet --format oci-archive -o podman-oci.tar x:1
    for archive in podman.tar podman-oci.tar; do
        hull image prune -af
        run hull load -i "$archive"
        [[ $output == 'Loaded image: '*x:1 ]]
        is_sound
    done
}

@test "what hull saves is read by skopeo, umoci and podman" {
    make_two_layers x:1 | hull load
    id=$(field x:1 '{{.Id}}')
    hull save x:1 >docker.tar
    hull save --format oci x:1 >oci.tar
    equals "$id" "sha256:$(skopeo inspect --config --raw docker-archive:docker.tar | sha256sum | cut -c1-64)"
    equals "$id" "sha256:$(skopeo inspect --config --raw oci-archive:oci.tar | sha256sum | cut -c1-64)"
    mkdir layout
    tar --extract --directory layout --file oci.tar
    name=$(jq -r '.manifests[0].annotations["org.opencontainers.image.ref.name"]' layout/index.json)
    equals docker.io/library/x:1 "$name"
    copy "oci:layout:$name" dir:copied
    copy docker-archive:docker.tar oci:umoci:x
    umoci unpack --image umoci:x bundle
    equals upper "$(cat bundle/rootfs/etc/word)"
    [ ! -e bundle/rootfs/gone ] && [ ! -e bundle/rootfs/opaque/old ] && [ -e bundle/rootfs/opaque/new ]
    use_podman
    own_podman load --quiet -i docker.tar
    equals "${id#sha256:}" "$(own_podman image inspect --format '{{.Id}}' x:1)"
    mounted=$(own_podman image mount x:1)
    equals upper "$(cat "$mounted/etc/word")"
    [ ! -e "$mounted/gone" ] && [ ! -e "$mounted/opaque/old" ]
    own_podman image unmount x:1
}

@test "the store itself is an OCI layout that skopeo reads" {
    import_image some/where:1
    copy "oci:$root/images:docker.io/some/where:1" dir:copied
    equals "$(field some/where:1 '{{.Descriptor.digest}}')" "sha256:$(sha256sum <copied/manifest.json | cut -c1-64)"
    # And writes: what it names without our rules is found and removed by that name.
    make_two_layers y:1 >made.tar
    copy docker-archive:made.tar "oci:$root/images:foreign"
    [[ $(hull image inspect foreign | jq -r '.[0].RepoTags[0]') == foreign* ]]
    hull tag foreign y:2
    run hull rmi "$(field y:2 '{{.Id}}')"
    failed_with 1 'several repositories'
    hull rmi foreign
    hull rmi y:2
    is_sound
}

@test "layers on overlayfs look as the archive says" {
    make_two_layers x:1 | hull load
    mkdir merged
    # A namespace of its own: nothing stays mounted.
    unshare --mount sh -ec '
        mount -t overlay -o "ro,lowerdir=$1" none merged
        [ "$(cat merged/etc/word)" = upper ]
        [ ! -e merged/gone ] && [ ! -e merged/opaque/old ] && [ -e merged/opaque/new ]
        [ -u merged/bin/tool ] && [ "$(stat -c %a merged/tmp)" = 1777 ]' sh \
        "$(field x:1 '{{.GraphDriver.Data.LowerDir}}')"
}

@test "load refuses what is no archive of images, and leaves nothing" {
    run hull load </dev/null
    failed_with 1 'no archive of images'
    make_tree tree
    tar --create --directory tree . >tree.tar
    run hull load -i tree.tar
    failed_with 1 "use 'hull import'"
    head -c 100000 /dev/urandom >noise
    run hull load -i noise
    failed_with 1 damaged
    run hull load -i nowhere
    failed_with 1 nowhere
    make_two_layers x:1 >good.tar
    head -c $(($(stat -c %s good.tar) / 2)) good.tar >cut.tar
    run hull load -i cut.tar
    equals 1 "$status"
    echo '[{"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["1.tar"]}]' >manifest.json
    run bash -c "tar --create manifest.json config.json 1.tar | '$HULL' --root '$root' load"
    failed_with 1 'its configuration 2'
    echo '[{"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["2.tar", "1.tar"]}]' >manifest.json
    run bash -c "tar --create manifest.json config.json 1.tar 2.tar | '$HULL' --root '$root' load"
    failed_with 1 "its digest is"
    echo '[{"Config": "../../etc/passwd", "RepoTags": ["x:1"], "Layers": ["/etc/passwd"]}]' >manifest.json
    run bash -c "tar --create manifest.json | '$HULL' --root '$root' load"
    failed_with 1 'has no file ../../etc/passwd'
    for text in '' '{}' '[3]' '[{"Config": 3}]' '[{"Config":"config.json","Layers":[3]}]' 'null'; do
        echo "$text" >manifest.json
        run bash -c "tar --create manifest.json config.json | '$HULL' --root '$root' load"
        equals 1 "$status"
    done
    equals '' "$(hull images -q)"
    is_sound
}

@test "a layer that is a bomb, and one that says it has eight exbibytes, are refused" {
    mkdir tree
    head -c 300M /dev/zero >tree/zeros
    tar --create --directory tree . | zstd --quiet >1.tar
    [ "$(stat -c %s 1.tar)" -lt 100000 ]
    jq -nc --arg one "sha256:$(zstd -dc 1.tar | sha256sum | cut -c1-64)" \
        '{architecture: "amd64", os: "linux", rootfs: {type: "layers", diff_ids: [$one]}}' >config.json
    echo '[{"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["1.tar"]}]' >manifest.json
    run bash -c "tar --create manifest.json config.json 1.tar | '$HULL' --root '$root' load"
    failed_with 1 'a bomb'
    run hull import 1.tar x:1
    failed_with 1 'a bomb'
    python3 - >huge.tar <<'END'
import sys, tarfile
entry = tarfile.TarInfo("1.tar")
entry.size = 2**63 - 1
sys.stdout.buffer.write(entry.tobuf(tarfile.GNU_FORMAT) + b"a few bytes" * 100)
END
    run hull load -i huge.tar
    failed_with 1 damaged
    run hull import huge.tar x:1
    failed_with 1 damaged
    equals '' "$(hull images -q)"
    is_sound
    [ "$(du -sk "$root" | cut -f1)" -lt 400 ]
}

@test "an archive that lies about its blobs is refused" {
    make_two_layers x:1 | hull load
    hull save --format oci x:1 >oci.tar
    hull rmi x:1
    mkdir layout
    tar --extract --directory layout --file oci.tar
    blob=$(find layout/blobs/sha256 -size +4k | head -n 1)
    cp "$blob" kept
    printf X | dd of="$blob" bs=1 seek=600 conv=notrunc status=none
    run bash -c "tar --create --directory layout . | '$HULL' --root '$root' load"
    failed_with 1 'the digest of what came is'
    echo more >>"$blob"
    run bash -c "tar --create --directory layout . | '$HULL' --root '$root' load"
    equals 1 "$status"
    rm "$blob"
    run bash -c "tar --create --directory layout . | '$HULL' --root '$root' load"
    failed_with 1 "isn't in the image store"
    # A link that leads out of the archive names nothing.
    ln -s ../../../kept "$blob"
    run bash -c "tar --create --directory layout . | '$HULL' --root '$root' load"
    failed_with 1 'leads out of its root'
    equals '' "$(hull images -q)"
    is_sound
}

@test "an archive for several platforms gives this machine's image" {
    make_two_layers x:1 >made.tar
    copy docker-archive:made.tar oci:one:x
    id=$(jq -r '.manifests[0].digest' one/index.json)
    size=$(jq -r '.manifests[0].size' one/index.json)
    jq -nc --arg d "$id" --argjson s "$size" --arg t application/vnd.oci.image.manifest.v1+json '{schemaVersion: 2, manifests: [
        {mediaType: $t, size: 3, digest: "sha256:\("0" * 64)", platform: {os: "linux", architecture: "s390x"}},
        {mediaType: $t, size: $s, digest: $d, platform: {os: "linux", architecture: "'"$(dpkg --print-architecture)"'"}},
        {mediaType: $t, size: 3, digest: "sha256:\("1" * 64)", platform: {os: "unknown", architecture: "unknown"}}]}' >index
    digest=$(sha256sum <index | cut -c1-64)
    cp index "one/blobs/sha256/$digest"
    jq -nc --arg d "sha256:$digest" --argjson s "$(stat -c %s index)" '{schemaVersion: 2, manifests: [
        {mediaType: "application/vnd.oci.image.index.v1+json", size: $s, digest: $d,
         annotations: {"io.containerd.image.name": "docker.io/library/multi:1"}}]}' >one/index.json
    run bash -c "tar --create --directory one . | '$HULL' --root '$root' load"
    equals 'Loaded image: multi:1' "$output"
    equals "$id" "$(field multi:1 '{{.Descriptor.digest}}')"
    is_sound # without the index, and what else of the archive isn't needed
}

@test "an index that leads to too much, or too deep, is refused, and leaves nothing" {
    make_two_layers x:1 >made.tar
    copy docker-archive:made.tar oci:one:x
    local image host type=application/vnd.oci.image.index.v1+json depth digest
    host=$(dpkg --print-architecture)
    image=$(jq -c --arg a "$host" '.manifests[0] | {mediaType, size, digest, platform: {os: "linux", architecture: $a}}' one/index.json)
    # enter FILE: it as the archive's only index
    enter() {
        digest=$(sha256sum <"$1" | cut -c1-64)
        cp "$1" "one/blobs/sha256/$digest"
        jq -nc --arg d "sha256:$digest" --argjson s "$(stat -c %s "$1")" --arg t $type --arg a "$host" \
            '{mediaType: $t, size: $s, digest: $d, platform: {os: "linux", architecture: $a}}' >descriptor
        jq -nc --slurpfile d descriptor '{schemaVersion: 2, manifests: $d}' >one/index.json
    }
    jq -nc --argjson i "$image" '{schemaVersion: 2, manifests: ([$i] + [range(1001) | {mediaType: $i.mediaType, size: 3,
        digest: "sha256:\(. + 1000 | tostring | . * 16)"}])}' >many
    enter many
    run bash -c "tar --create --directory one . | '$HULL' --root '$root' load"
    failed_with 1 'more than 1000 manifests'
    jq -nc --argjson i "$image" '{schemaVersion: 2, manifests: [$i]}' >deep
    for depth in 1 2 3; do
        enter deep
        jq -nc --slurpfile d descriptor '{schemaVersion: 2, manifests: $d}' >deeper
        mv deeper deep
        if [ "$depth" = 2 ]; then
            run bash -c "tar --create --directory one . | '$HULL' --root '$root' load"
            succeeded
            hull rmi "$(hull images -q)"
        fi
    done
    enter deep
    run bash -c "tar --create --directory one . | '$HULL' --root '$root' load"
    failed_with 1 'nested too deep'
    equals '' "$(hull images -q)"
    is_sound
}
