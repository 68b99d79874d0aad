# hull push to Debian's docker-registry, read there by skopeo and podman, and to a registry that takes
# things otherwise (push_registry.py).

load helpers
load registry

setup_file() {
    command -v docker-registry >/dev/null || skip "no docker-registry"
    command -v skopeo >/dev/null || skip "no skopeo"
    export DIRECTORY=$BATS_FILE_TMPDIR
    start_network
    start_registry main 5000
    inside python3 "$BATS_TEST_DIRNAME/push_registry.py" 5300 "$DIRECTORY/log" \
        >"$DIRECTORY/push.err" 2>&1 3>&- &
    SERVERS="$! $SERVERS"
    wait_until 20 answers http://127.0.0.1:5300/v2/
    make_tree "$DIRECTORY/tree"
}

teardown_file() { stop_servers; }

setup() {
    use_hull
    DIRECTORY=$BATS_FILE_TMPDIR
}

# made NAME [COMPRESSION]: an image of make_tree's tree
made() {
    tar -C "$DIRECTORY/tree" -c . | ${2:-cat} | (inside "$hull_program" --root "$root" import - "$1") >/dev/null
}

check_store() {
    run hull system check
    echo "$output"
    [ "$status" = 0 ]
}

@test "an image is pushed, said to be in docker's words, and read by skopeo and podman" {
    made 127.0.0.1:5000/first:1 gzip
    run hull push 127.0.0.1:5000/first:1
    echo "$output"
    [ "$status" = 0 ]
    [ "${lines[0]}" = "The push refers to repository [127.0.0.1:5000/first]" ]
    [[ ${lines[1]} =~ ^[0-9a-f]{12}:\ Pushed$ ]]
    [[ ${lines[2]} =~ ^1:\ digest:\ sha256:[0-9a-f]{64}\ size:\ [0-9]+$ ]]
    digest=$(grep -o 'sha256:[0-9a-f]*' <<<"${lines[2]}")
    [ "$( (inside skopeo inspect --tls-verify=false --format '{{.Digest}}' docker://127.0.0.1:5000/first:1))" = "$digest" ]
    [ "$(hull image inspect --format '{{index .RepoDigests 0}}' 127.0.0.1:5000/first:1)" = "127.0.0.1:5000/first@$digest" ]
    check_store
    command -v podman >/dev/null || skip "no podman"
    podman=(env -u DOCKER_CONFIG podman --root "$BATS_TEST_TMPDIR/podman" --runroot "$BATS_RUN_TMPDIR/p"
        --storage-driver vfs --cgroup-manager cgroupfs)
    (inside "${podman[@]}" pull --quiet --tls-verify=false 127.0.0.1:5000/first:1)
    [ "$("${podman[@]}" image inspect --format '{{.Id}}' 127.0.0.1:5000/first:1)" = "$(hull image inspect --format '{{.Id}}' 127.0.0.1:5000/first:1 | cut -d : -f 2)" ]
    # And back into hull, out of podman's hands.
    (inside "${podman[@]}" push --quiet --tls-verify=false 127.0.0.1:5000/first:1 docker://127.0.0.1:5000/podman:1)
    "${podman[@]}" rmi --all --force >/dev/null
    root=$BATS_TEST_TMPDIR/other
    hull pull --quiet 127.0.0.1:5000/podman:1
    same_tree "$DIRECTORY/tree" "$(layers_of 127.0.0.1:5000/podman:1)"
    check_store
}

@test "what is there isn't sent again, and what is in another repository is mounted" {
    made 127.0.0.1:5000/second:1 gzip
    hull push --quiet 127.0.0.1:5000/second:1
    run hull push 127.0.0.1:5000/second:1
    [[ ${lines[1]} == *": Layer already exists" ]]
    hull tag 127.0.0.1:5000/second:1 127.0.0.1:5000/third/one
    run hull image push 127.0.0.1:5000/third/one
    echo "$output"
    [ "$status" = 0 ]
    [ "${lines[0]}" = "Using default tag: latest" ]
    [[ ${lines[2]} == *": Mounted from another repository" ]]
    root=$BATS_TEST_TMPDIR/other
    hull pull --quiet 127.0.0.1:5000/third/one
    same_tree "$DIRECTORY/tree" "$(layers_of 127.0.0.1:5000/third/one)"
}

@test "layers are compressed with zstd or gzip on request, in an image of OCI's form" {
    made 127.0.0.1:5000/fourth:plain
    local format
    for format in zstd gzip; do
        run hull push --compression-format "$format" 127.0.0.1:5000/fourth:plain
        echo "$output"
        [ "$status" = 0 ]
        (inside skopeo inspect --raw --tls-verify=false docker://127.0.0.1:5000/fourth:plain) >"$BATS_TEST_TMPDIR/manifest"
        [ "$(jq -r '.layers[0].mediaType' "$BATS_TEST_TMPDIR/manifest")" = "application/vnd.oci.image.layer.v1.tar+$format" ]
        [ "$(jq -r .mediaType "$BATS_TEST_TMPDIR/manifest")" = application/vnd.oci.image.manifest.v1+json ]
        rm -rf "$BATS_TEST_TMPDIR/layout"
        (inside skopeo copy --quiet --src-tls-verify=false docker://127.0.0.1:5000/fourth:plain "oci:$BATS_TEST_TMPDIR/layout:x")
        (
            root=$BATS_TEST_TMPDIR/other-$format
            hull pull --quiet 127.0.0.1:5000/fourth:plain
            same_tree "$DIRECTORY/tree" "$(layers_of 127.0.0.1:5000/fourth:plain)"
        )
    done
    # What was compressed for it isn't kept.
    check_store
    run hull push --compression-format xz 127.0.0.1:5000/fourth:plain
    [ "$status" != 0 ]
    [[ $output == *xz* ]]
}

@test "an image that was pulled in docker's form is pushed as it is, or in OCI's" {
    made localhost/source:1
    (inside skopeo copy --quiet --dest-tls-verify=false --format v2s2 "oci:$root/images:localhost/source:1" docker://127.0.0.1:5000/docker:1)
    hull pull --quiet 127.0.0.1:5000/docker:1
    hull tag 127.0.0.1:5000/docker:1 127.0.0.1:5000/docker-copy:1
    hull push --quiet 127.0.0.1:5000/docker-copy:1
    for name in docker docker-copy; do
        (inside skopeo inspect --raw --tls-verify=false "docker://127.0.0.1:5000/$name:1") >"$BATS_TEST_TMPDIR/raw-$name"
    done
    cmp "$BATS_TEST_TMPDIR/raw-docker" "$BATS_TEST_TMPDIR/raw-docker-copy"
    [ "$(jq -r .mediaType "$BATS_TEST_TMPDIR/raw-docker")" = application/vnd.docker.distribution.manifest.v2+json ]
    run hull push --quiet --compression-format zstd 127.0.0.1:5000/docker-copy:1
    [ "$output" = 127.0.0.1:5000/docker-copy:1 ]
    (inside skopeo inspect --raw --tls-verify=false docker://127.0.0.1:5000/docker-copy:1) >"$BATS_TEST_TMPDIR/zstd"
    [ "$(jq -r '.mediaType + .config.mediaType' "$BATS_TEST_TMPDIR/zstd")" = application/vnd.oci.image.manifest.v1+jsonapplication/vnd.oci.image.config.v1+json ]
}

@test "all tags of a repository" {
    made 127.0.0.1:5000/fifth:one
    hull tag 127.0.0.1:5000/fifth:one 127.0.0.1:5000/fifth:two
    hull tag 127.0.0.1:5000/fifth:one 127.0.0.1:5000/another:three
    run hull push --all-tags 127.0.0.1:5000/fifth
    echo "$output"
    [ "$status" = 0 ]
    [ "$( (inside curl -s http://127.0.0.1:5000/v2/fifth/tags/list) | jq -c '.tags | sort')" = '["one","two"]' ]
    (inside curl -s http://127.0.0.1:5000/v2/another/tags/list) | grep -q NAME_UNKNOWN
}

@test "what can't be pushed is said" {
    run hull push 127.0.0.1:5000/nothing:1
    [ "$status" = 1 ]
    [[ $output == *"hull: push: no such image: 127.0.0.1:5000/nothing:1 (see 'hull images')" ]]
    made 127.0.0.1:5009/unreachable:1
    run hull push 127.0.0.1:5009/unreachable:1
    [ "$status" = 1 ]
    [[ $output == *"127.0.0.1:5009/unreachable: https://127.0.0.1:5009/v2/: Failed to connect"* ]]
    run hull push "127.0.0.1:5000/x@sha256:$(printf 0%.0s {1..64})"
    [ "$status" = 1 ]
    [[ $output == *"pushed by a tag, not by a digest"* ]]
}

# The registry that forgets nothing, and has all sorts of ways. $log is what it was asked by this.
push() {
    local before
    before=$(wc -l <"$DIRECTORY/log")
    run hull push "127.0.0.1:5300/$1:1"
    echo "$output"
    log=$(tail -n "+$((before + 1))" "$DIRECTORY/log")
    echo "$log"
}

# A layer of 70 MiB, which goes in two chunks.
made_large() {
    mkdir -p "$BATS_TEST_TMPDIR/large"
    head -c 70M /dev/urandom >"$BATS_TEST_TMPDIR/large/bytes"
    tar -C "$BATS_TEST_TMPDIR/large" -c . | (inside "$hull_program" --root "$root" import - "$1") >/dev/null
}

@test "a large layer goes in chunks, and on from where the registry is after a broken connection" {
    made_large 127.0.0.1:5300/good:1
    push good
    [ "$status" = 0 ]
    [ "$(grep -c '^PATCH .* 202$' <<<"$log")" = 2 ]
    grep -q '^PATCH .* 0-67108863 202$' <<<"$log"
    hull tag 127.0.0.1:5300/good:1 127.0.0.1:5300/breaking:1
    push breaking
    [ "$status" = 0 ]
    # Broken off after 40000000 bytes of the second chunk's request … of which it kept 1000000.
    grep -q '^GET .* - 204$' <<<"$log"
    grep -q '^PATCH .* 1000000-68108863 202$' <<<"$log"
    hull tag 127.0.0.1:5300/good:1 127.0.0.1:5300/nochunks:1
    push nochunks
    [ "$status" = 0 ]
    grep -q '^PATCH .* 405$' <<<"$log"
    [ "$(grep -c '^PUT /upload.* 201$' <<<"$log")" = 2 ] # the layer, whole, and the configuration
}

@test "a busy registry is asked again; one that keeps something else is caught" {
    made 127.0.0.1:5300/busy:1
    push busy
    [ "$status" = 0 ]
    grep -q ' 503$' <<<"$log"
    made 127.0.0.1:5300/renaming:1
    push renaming
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *"manifest: 127.0.0.1:5300 keeps it as sha256:"*" instead of sha256:"* ]]
    made 127.0.0.1:5300/readonly:1
    push readonly
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *"127.0.0.1:5300 denies it: HTTP status 403: read only"* ]]
    check_store
}

@test "what refers to another manifest is entered among its referrers" {
    made localhost/subject:1
    # An image whose manifest has a subject.
    subject=sha256:$(printf '%064d' 7)
    skopeo copy --quiet "oci:$root/images:localhost/subject:1" "oci:$BATS_TEST_TMPDIR/layout:x"
    old=$(jq -r '.manifests[0].digest' "$BATS_TEST_TMPDIR/layout/index.json" | cut -d : -f 2)
    jq -c --arg digest "$subject" '.subject = {mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $digest, size: 7}
        | .annotations = {kind: "test"}' "$BATS_TEST_TMPDIR/layout/blobs/sha256/$old" >"$BATS_TEST_TMPDIR/manifest"
    new=$(sha256sum <"$BATS_TEST_TMPDIR/manifest" | cut -d ' ' -f 1)
    cp "$BATS_TEST_TMPDIR/manifest" "$BATS_TEST_TMPDIR/layout/blobs/sha256/$new"
    jq -c --arg digest "sha256:$new" --argjson size "$(stat -c %s "$BATS_TEST_TMPDIR/manifest")" \
        '.manifests[0].digest = $digest | .manifests[0].size = $size' "$BATS_TEST_TMPDIR/layout/index.json" >"$BATS_TEST_TMPDIR/index"
    cp "$BATS_TEST_TMPDIR/index" "$BATS_TEST_TMPDIR/layout/index.json"
    tar -C "$BATS_TEST_TMPDIR/layout" -c . | (inside "$hull_program" --root "$root" load)
    hull tag "sha256:$new" 127.0.0.1:5300/refers:1
    # A registry that knows subjects needs no more; one that doesn't gets a tag.
    hull tag 127.0.0.1:5300/refers:1 127.0.0.1:5300/subjects:1
    push subjects
    [ "$status" = 0 ]
    lacks "manifests/sha256-" "$log"
    push refers
    [ "$status" = 0 ]
    grep -q "^PUT /v2/refers/manifests/sha256-${subject#sha256:} - 201$" <<<"$log"
    (inside curl -s "http://127.0.0.1:5300/v2/refers/manifests/sha256-${subject#sha256:}") >"$BATS_TEST_TMPDIR/referrers"
    [ "$(jq -c '[.mediaType, (.manifests | length), .manifests[0].digest, .manifests[0].annotations.kind]' "$BATS_TEST_TMPDIR/referrers")" = \
        "[\"application/vnd.oci.image.index.v1+json\",1,\"sha256:$new\",\"test\"]" ]
    # Again: it isn't entered twice.
    push refers
    [ "$status" = 0 ]
    lacks "PUT .*sha256-" "$log"
}

# several NAME: the registry's image of that name, an index of amd64's and arm64's and what isn't for any
several() {
    local name=$1 platform digest manifests=() list=$BATS_TEST_TMPDIR/list
    root=$BATS_TEST_TMPDIR/maker
    for platform in amd64 arm64; do
        echo "$platform" >"$BATS_TEST_TMPDIR/text"
        tar -C "$BATS_TEST_TMPDIR" -c text | gzip | (inside "$hull_program" --root "$root" import --platform "linux/$platform" - "$name:$platform") >/dev/null
        hull push --quiet "$name:$platform"
        digest=$(hull image inspect --format '{{.Descriptor.digest}}' "$name:$platform")
        manifests+=("{\"mediaType\": \"application/vnd.oci.image.manifest.v1+json\", \"digest\": \"$digest\",
            \"size\": $(stat -c %s "$root/images/blobs/sha256/${digest#sha256:}"),
            \"platform\": {\"os\": \"linux\", \"architecture\": \"$platform\"}}")
    done
    (IFS=, && echo "{\"schemaVersion\": 2, \"mediaType\": \"application/vnd.oci.image.index.v1+json\", \"manifests\": [${manifests[*]}]}") >"$list"
    (inside curl -sf -X PUT -H "Content-Type: application/vnd.oci.image.index.v1+json" --data-binary "@$list" \
        "http://${name%%/*}/v2/${name#*/}/manifests/all")
    root=$BATS_TEST_TMPDIR/root
}

@test "an image for several platforms that was loaded is pushed with all of them" {
    local index name=127.0.0.1:5000/several other=127.0.0.1:5000/elsewhere
    several "$name"
    index=sha256:$(sha256sum <"$BATS_TEST_TMPDIR/list" | cut -d ' ' -f 1)
    (inside skopeo copy --quiet --all --preserve-digests --src-tls-verify=false "docker://$name:all" "oci-archive:$BATS_TEST_TMPDIR/all.tar")
    (inside "$hull_program" --root "$root" load -i "$BATS_TEST_TMPDIR/all.tar")
    check_store
    id=$(hull images -q --no-trunc)
    hull tag "$id" "$other:1"
    # Whatever is collected or has another name: all of it is kept as long as one name has it.
    hull tag "$other:1" "$other:2"
    hull rmi "$other:1"
    hull image prune --force
    check_store
    run hull push "$other:2"
    echo "$output"
    [ "$status" = 0 ]
    [[ ${lines[-1]} == "2: digest: $index size: $(stat -c %s "$BATS_TEST_TMPDIR/list")" ]]
    [ "$(hull image inspect --format '{{.RepoDigests}}' "$other:2")" = "[$other@$index]" ]
    (inside skopeo copy --quiet --all --preserve-digests --src-tls-verify=false "docker://$other:2" "oci:$BATS_TEST_TMPDIR/back")
    [ "$(jq -r '.manifests[0].digest' "$BATS_TEST_TMPDIR/back/index.json")" = "$index" ]
    root=$BATS_TEST_TMPDIR/puller
    hull pull --quiet --platform linux/arm64 "$other:2"
    [ "$(cat "$(layers_of "$other:2")/text")" = arm64 ]
    root=$BATS_TEST_TMPDIR/root
    # One of them, under a tag of its own; compressed anew only then.
    run hull push --compression-format zstd "$other:2"
    [ "$status" = 1 ]
    [[ $output == *"pushed as it is (give --platform"* ]]
    hull tag "$other:2" "$other:arm"
    hull push --platform arm64 --compression-format zstd "$other:arm"
    (inside skopeo inspect --tls-verify=false --raw "docker://$other:arm") >"$BATS_TEST_TMPDIR/raw"
    [[ $(jq -r '.layers[0].mediaType' "$BATS_TEST_TMPDIR/raw") == *zstd ]]
    [ "$( (inside skopeo inspect --tls-verify=false --config "docker://$other:arm") | jq -r .architecture)" = arm64 ]
    run hull push --platform s390x "$other:2"
    [ "$status" = 1 ]
    [[ $output == *"not there for linux/s390x (it is for: linux/amd64, linux/arm64)"* ]]
    check_store
    # The last name's end is everything's.
    hull rmi "$other:2" "$other:arm"
    [ -z "$(ls "$root/images/blobs/sha256")" ]
    check_store
}

@test "half of an image for several platforms isn't pushed for the whole" {
    local name=127.0.0.1:5000/half digest
    several "$name"
    (inside skopeo copy --quiet --all --preserve-digests --src-tls-verify=false "docker://$name:all" "oci:$BATS_TEST_TMPDIR/layout:$name:mine")
    digest=$(jq -r '.manifests[] | select(.platform.architecture == "arm64") | .digest' "$BATS_TEST_TMPDIR/list")
    rm "$BATS_TEST_TMPDIR/layout/blobs/sha256/${digest#sha256:}"
    tar -C "$BATS_TEST_TMPDIR/layout" -c . | (inside "$hull_program" --root "$root" load)
    check_store
    run hull push "$name:mine"
    echo "$output"
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *"1 of 2 manifests aren't here: linux/arm64 (load all of it, or push one with --platform)" ]]
    (inside curl -s -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:5000/v2/half/manifests/mine") | grep -q 404
    run hull push --platform arm64 "$name:mine"
    [ "$status" = 1 ]
    [[ $output == *"the image for linux/arm64 isn't here"* ]]
    hull push --quiet --platform amd64 "$name:mine"
    # Of an image of one platform no other can be pushed.
    run hull push --platform arm64 "$name:amd64"
    [ "$status" = 1 ]
    root=$BATS_TEST_TMPDIR/maker
    run hull push --platform arm64 "$name:amd64"
    [ "$status" = 1 ]
    [[ $output == *"the image is for linux/amd64, not for linux/arm64"* ]]
}
