# hull pull from Debian's docker-registry, with images that skopeo pushed.

load helpers
load registry

setup_file() {
    command -v docker-registry >/dev/null || skip "no docker-registry"
    command -v skopeo >/dev/null || skip "no skopeo"
    export DIRECTORY=$BATS_FILE_TMPDIR
    start_network
    start_registry main 5000
    start_registry other 5001
    make_tree "$DIRECTORY/tree"
    # Without compression here, so that skopeo compresses as it is told.
    use_hull
    root=$DIRECTORY/maker
    tar -C "$DIRECTORY/tree" -c . | hull_import made:1
    skopeo copy --quiet "oci:$root/images:docker.io/library/made:1" "oci:$DIRECTORY/layout:made"
    publish made oci
    publish made docker --format v2s2
    # Elsewhere: skopeo takes what the registry has, however it is compressed.
    (inside skopeo copy --quiet --dest-tls-verify=false --dest-compress-format zstd \
        "oci:$DIRECTORY/layout:made" docker://127.0.0.1:5001/made:zstd)
}

# publish NAME TAG SKOPEO-FLAG...: the layout's image into the main registry
publish() {
    local name=$1 tag=$2
    shift 2
    (inside skopeo copy --quiet --dest-tls-verify=false "$@" "oci:$DIRECTORY/layout:$name" \
        "docker://127.0.0.1:5000/$name:$tag")
}

hull_import() { (inside "$hull_program" --root "$root" import - "$1") >/dev/null; }

teardown_file() { stop_servers; }

setup() {
    use_hull
    DIRECTORY=$BATS_FILE_TMPDIR
}

# Nothing is wrong with the store.
check_store() {
    run hull system check
    echo "$output"
    [ "$status" = 0 ]
}

@test "an image is pulled, unpacked as it was, and said to be in docker's words" {
    run hull pull 127.0.0.1:5000/made:oci
    echo "$output"
    [ "$status" = 0 ]
    [ "${lines[0]}" = "oci: Pulling from made" ]
    [[ ${lines[1]} =~ ^[0-9a-f]{12}:\ Pull\ complete$ ]]
    [[ ${lines[2]} =~ ^Digest:\ sha256:[0-9a-f]{64}$ ]]
    [ "${lines[3]}" = "Status: Downloaded newer image for 127.0.0.1:5000/made:oci" ]
    [ "${lines[4]}" = "127.0.0.1:5000/made:oci" ]
    same_tree "$DIRECTORY/tree" "$(layers_of 127.0.0.1:5000/made:oci)"
    check_store
    digest=${lines[2]#Digest: }
    run hull image inspect --format '{{index .RepoDigests 0}}' 127.0.0.1:5000/made:oci
    [[ $output == 127.0.0.1:5000/made@sha256:* ]]
}

@test "what is there already is up to date, and its blobs aren't fetched again under another name" {
    hull pull --quiet 127.0.0.1:5000/made:oci
    run hull pull 127.0.0.1:5000/made:oci
    [ "$status" = 0 ]
    [ "${lines[2]}" = "Status: Image is up to date for 127.0.0.1:5000/made:oci" ]
    run hull pull 127.0.0.1:5000/made:docker
    echo "$output"
    [ "$status" = 0 ]
    [[ ${lines[1]} == *": Already exists" ]]
    check_store
}

@test "docker's manifests, and layers compressed with zstd or not at all, are as good" {
    run hull pull --quiet 127.0.0.1:5000/made:docker
    [ "$status" = 0 ]
    [ "$output" = 127.0.0.1:5000/made:docker ]
    same_tree "$DIRECTORY/tree" "$(layers_of 127.0.0.1:5000/made:docker)"
    root=$BATS_TEST_TMPDIR/second
    (inside skopeo inspect --raw --tls-verify=false docker://127.0.0.1:5001/made:zstd) |
        grep -q 'tar+zstd'
    run hull pull --quiet 127.0.0.1:5001/made:zstd
    [ "$status" = 0 ]
    same_tree "$DIRECTORY/tree" "$(layers_of 127.0.0.1:5001/made:zstd)"
    check_store
    root=$BATS_TEST_TMPDIR/third
    tar -C "$DIRECTORY/tree" -c . | hull_import 127.0.0.1:5000/made:plain
    run hull push --quiet 127.0.0.1:5000/made:plain
    [ "$status" = 0 ]
    root=$BATS_TEST_TMPDIR/fourth
    run hull pull --quiet 127.0.0.1:5000/made:plain
    [ "$status" = 0 ]
    same_tree "$DIRECTORY/tree" "$(layers_of 127.0.0.1:5000/made:plain)"
    check_store
}

@test "by digest, too, and then no tag is set" {
    digest=$( (inside skopeo inspect --tls-verify=false --format '{{.Digest}}' docker://127.0.0.1:5000/made:oci))
    run hull image pull "127.0.0.1:5000/made@$digest"
    echo "$output"
    [ "$status" = 0 ]
    [ "${lines[0]}" = "$digest: Pulling from made" ]
    run hull images --format '{{.Repository}} {{.Tag}}'
    echo "$output"
    [ "$output" = "127.0.0.1:5000/made <none>" ]
    run hull image inspect "127.0.0.1:5000/made@$digest"
    [ "$status" = 0 ]
    # Another digest isn't there.
    run hull pull "127.0.0.1:5000/made@sha256:$(printf 0%.0s {1..64})"
    [ "$status" = 1 ]
    [[ $output == *"not found at 127.0.0.1:5000: HTTP status 404"* ]]
}

# index TAG MEDIA-TYPE ARCHITECTURE=TAG...: puts an index of images of the registry
index() {
    local tag=$1 type=$2 pair manifests=() digest size raw
    shift 2
    for pair in "$@"; do
        raw=$DIRECTORY/raw
        (inside curl -s -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
            -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://127.0.0.1:5000/v2/made/manifests/${pair#*=}") >"$raw"
        digest=sha256:$(sha256sum <"$raw" | cut -d ' ' -f 1) size=$(stat -c %s "$raw")
        manifests+=("{\"mediaType\": $(jq .mediaType "$raw"), \"digest\": \"$digest\",
            \"size\": $size, \"platform\": {\"os\": \"linux\", \"architecture\": \"${pair%=*}\"}}")
    done
    (IFS=, && echo "{\"schemaVersion\": 2, \"mediaType\": \"$type\", \"manifests\": [${manifests[*]}]}") |
        (inside curl -sf -X PUT -H "Content-Type: $type" --data-binary @- \
            "http://127.0.0.1:5000/v2/made/manifests/$tag")
}

@test "of an index the machine's platform is taken, or the one asked for" {
    index many application/vnd.oci.image.index.v1+json amd64=oci arm64=docker
    run hull pull 127.0.0.1:5000/made:many
    echo "$output"
    [ "$status" = 0 ]
    # RepoDigests has what the registry calls it: the index.
    digest=$(grep -o 'sha256:.*' <<<"${lines[2]}")
    run hull image inspect --format '{{.RepoDigests}} {{.Descriptor.digest}}' 127.0.0.1:5000/made:many
    [[ $output == *"made@$digest"* ]]
    [[ $output != *"$digest"*"$digest"* ]]
    run hull pull 127.0.0.1:5000/made:many
    [[ $output == *"Image is up to date"* ]]
    # The image behind arm64 says that it is amd64's, which isn't believed.
    run hull pull --platform linux/arm64 127.0.0.1:5000/made:many
    [ "$status" = 1 ]
    [[ $output == *"the image is for linux/amd64, not for linux/arm64"* ]]
    run hull pull --platform s390x 127.0.0.1:5000/made:many
    [ "$status" = 1 ]
    [[ $output == *"not there for linux/s390x (it is for: linux/amd64, linux/arm64)"* ]]
    run hull pull --platform 'a/b/c/d' 127.0.0.1:5000/made:many
    [ "$status" = 1 ]
    [[ $output == *"invalid platform"* ]]
    check_store
}

@test "the other platform's image that is there isn't taken for this machine's" {
    root=$DIRECTORY/maker
    for platform in amd64 arm64; do
        echo "$platform" >"$BATS_TEST_TMPDIR/text"
        tar -C "$BATS_TEST_TMPDIR" -c text |
            (inside "$hull_program" --root "$root" import --platform "linux/$platform" - "127.0.0.1:5000/made:$platform") >/dev/null
        hull push --quiet "127.0.0.1:5000/made:$platform"
    done
    root=$BATS_TEST_TMPDIR/root
    index both application/vnd.docker.distribution.manifest.list.v2+json amd64=amd64 arm64=arm64
    hull pull --quiet --platform arm64 127.0.0.1:5000/made:both
    [ "$(cat "$(layers_of 127.0.0.1:5000/made:both)/text")" = arm64 ]
    run hull pull --platform arm64 127.0.0.1:5000/made:both
    [[ $output == *"Image is up to date"* ]]
    run hull pull 127.0.0.1:5000/made:both
    [[ $output == *"Downloaded newer image"* ]]
    [ "$(cat "$(layers_of 127.0.0.1:5000/made:both)/text")" = amd64 ]
    run hull pull 127.0.0.1:5000/made:both
    [[ $output == *"Image is up to date"* ]]
    # One that is only there for another machine is taken, with a warning, and once.
    run hull pull 127.0.0.1:5000/made:arm64
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"hull: warning: the image is for linux/arm64, and this machine is linux/amd64"* ]]
    run hull pull 127.0.0.1:5000/made:arm64
    [[ $output == *"Image is up to date"* ]]
    check_store
}

@test "all tags of a repository" {
    for tag in one two three; do
        (inside skopeo copy --quiet --dest-tls-verify=false "oci:$DIRECTORY/layout:made" \
            "docker://127.0.0.1:5000/several:$tag")
    done
    run hull pull --all-tags 127.0.0.1:5000/several
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"one: Pulling from several"*"Digest: sha256:"* ]]
    [ "$(grep -c ': Pulling from several' <<<"$output")" = 3 ]
    [[ $output == *"Status: Downloaded newer image for 127.0.0.1:5000/several"* ]]
    [ "$(hull images --quiet 127.0.0.1:5000/several | wc -l)" = 3 ]
    run hull pull -a 127.0.0.1:5000/several:one
    [ "$status" = 1 ]
    [[ $output == *"all tags are asked for, and one is given"* ]]
    check_store
}

@test "a short name is looked for at the registries that are configured, in their order" {
    echo '{"search": ["127.0.0.1:5001", "127.0.0.1:5000"]}' >"$HULL_REGISTRIES"
    run hull pull made:oci
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"warning: 127.0.0.1:5001/made:oci: manifest: not found"* ]]
    [ "${lines[-1]}" = 127.0.0.1:5000/made:oci ]
    # One that can't be asked isn't passed over.
    echo '{"search": ["127.0.0.1:5009", "127.0.0.1:5000"]}' >"$HULL_REGISTRIES"
    run hull pull made:oci
    [ "$status" = 1 ]
    [[ $output == *"127.0.0.1:5009/made:oci: "*"Failed to connect"* ]]
    # A name with its registry is asked for only there.
    run hull pull 127.0.0.1:5001/made:oci
    [ "$status" = 1 ]
    [[ $output == *"127.0.0.1:5001/made:oci: manifest: not found at 127.0.0.1:5001"* ]]
}

@test "a mirror is asked first, and its failure isn't the end" {
    (inside skopeo copy --quiet --dest-tls-verify=false "oci:$DIRECTORY/layout:made" \
        docker://127.0.0.1:5001/library/mirrored:1)
    (inside skopeo copy --quiet --dest-tls-verify=false "oci:$DIRECTORY/layout:made" \
        docker://127.0.0.1:5001/prefix/here/mirrored:1)
    echo '{"registries": {"docker.io": {"mirrors": ["127.0.0.1:5009", "127.0.0.1:5001"]},
        "example.invalid": {"mirrors": ["127.0.0.1:5001/prefix"]}}}' >"$HULL_REGISTRIES"
    run hull pull mirrored:1
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"warning: mirror 127.0.0.1:5009: "* ]]
    [ "${lines[-1]}" = docker.io/library/mirrored:1 ]
    hull image inspect mirrored:1
    run hull pull --quiet example.invalid/here/mirrored:1
    [ "$output" = example.invalid/here/mirrored:1 ]
    # What none has is looked for at the registry itself.
    run hull pull example.invalid/here/nothing
    [ "$status" = 1 ]
    [[ $output == *"hull: pull: example.invalid/here/nothing:latest: https://example.invalid/v2/"* ]]
}

@test "what isn't there, or isn't a name, is said" {
    run hull pull 127.0.0.1:5000/nothing
    [ "$status" = 1 ]
    [ "${lines[0]}" = "Using default tag: latest" ]
    [ "${lines[-1]}" = "hull: pull: 127.0.0.1:5000/nothing:latest: manifest: not found at 127.0.0.1:5000: HTTP status 404" ]
    run hull pull 127.0.0.1:5000/Made
    [ "$status" = 1 ]
    [[ $output == *"must be in lower case"* ]]
    run hull pull 127.0.0.1:5009/made
    [ "$status" = 1 ]
    [[ $output == *"Failed to connect to 127.0.0.1 port 5009"* ]]
    check_store
}

@test "an artifact that is no image is told apart" {
    printf '{}' >"$BATS_TEST_TMPDIR/config"
    printf 'text' >"$BATS_TEST_TMPDIR/layer"
    for file in config layer; do
        location=$( (inside curl -si -X POST "http://127.0.0.1:5000/v2/artifact/blobs/uploads/") |
            tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
        digest=$(sha256sum <"$BATS_TEST_TMPDIR/$file" | cut -d ' ' -f 1)
        (inside curl -sf -X PUT -H 'Content-Type: application/octet-stream' \
            --data-binary "@$BATS_TEST_TMPDIR/$file" "$location&digest=sha256:$digest")
        eval "$file=$digest"
    done
    echo "{\"schemaVersion\": 2, \"mediaType\": \"application/vnd.oci.image.manifest.v1+json\",
        \"config\": {\"mediaType\": \"application/vnd.example\", \"digest\": \"sha256:$config\", \"size\": 2},
        \"layers\": [{\"mediaType\": \"text/plain\", \"digest\": \"sha256:$layer\", \"size\": 4}]}" |
        (inside curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' \
            --data-binary @- http://127.0.0.1:5000/v2/artifact/manifests/1)
    run hull pull 127.0.0.1:5000/artifact:1
    echo "$output"
    [ "$status" = 1 ]
    [[ $output == *"it isn't an image that can be run: its manifest has 1 layers, and its configuration (application/vnd.example) knows 0"* ]]
    check_store
}

@test "on a terminal, each layer has its line" {
    run inside_terminal pull 127.0.0.1:5000/made:oci
    [ "$status" = 0 ]
    [[ $output == *$'\033['*"Pull complete"*"Digest: sha256:"*"Status: Downloaded newer image"* ]]
    # Each line of the last drawing is there once, below all others.
    run inside_terminal pull 127.0.0.1:5000/made:docker
    [ "$status" = 0 ]
    [[ $output == *": Already exists"* ]]
}

inside_terminal() {
    (inside script --quiet --return --log-out "$BATS_TEST_TMPDIR/screen" \
        --command "$hull_program --root $root $*" </dev/null)
}
