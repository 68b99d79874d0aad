# hull image referrers: of a registry that lists them (referrers_registry.py), of Debian's
# docker-registry, which doesn't, and of the store.

load helpers
load registry

setup_file() {
    command -v python3 >/dev/null || skip "no python3"
    export DIRECTORY=$BATS_FILE_TMPDIR
    start_network
    inside python3 "$BATS_TEST_DIRNAME/referrers_registry.py" 5400 "$DIRECTORY/log" \
        >"$DIRECTORY/err" 2>&1 3>&- &
    SERVERS="$! $SERVERS"
    wait_until 20 answers http://127.0.0.1:5400/v2/
    ! command -v docker-registry >/dev/null || start_registry main 5000
}

teardown_file() { stop_servers; }

setup() {
    use_hull
    DIRECTORY=$BATS_FILE_TMPDIR
}

signature=application/vnd.example.signature+json
bill=application/spdx+json

# referrers REPOSITORY[:TAG] [FLAG…]: of the test's registry; $log is what it was asked by this
referrers() {
    local before name=$1
    [[ $name == *[:@]* ]] || name=$name:1
    before=$(wc -l <"$DIRECTORY/log")
    run hull image referrers "${@:2}" "127.0.0.1:5400/$name"
    echo "$output"
    log=$(tail -n "+$((before + 1))" "$DIRECTORY/log")
    tail -n 5 <<<"$log"
}

# The annotation "number" of each that is listed.
numbers() {
    referrers "$@" --format '{{.Annotations.number}}'
    [ "$status" = 0 ]
    numbers=$(tr '\n' ' ' <<<"$output")
}

digest_of() { (inside curl -s "http://127.0.0.1:5400/v2/filters/manifests/$1") | sha256sum | cut -d ' ' -f 1; }

@test "what a registry lists, as a table, as JSON, by a template, or only the digests" {
    referrers filters
    [ "$status" = 0 ]
    [ "${#lines[@]}" = 4 ]
    [[ ${lines[0]} =~ ^DIGEST\ +ARTIFACT\ TYPE\ +CREATED\ +SIZE$ ]]
    [[ ${lines[1]} =~ ^sha256:[0-9a-f]{64}\ +"$signature"\ +[0-9]+\ years\ ago\ +[0-9]+B$ ]]
    [[ ${lines[2]} == *" $bill "* ]]
    local digests
    digests=$(printf '%s\n' "${lines[@]:1}" | cut -d ' ' -f 1)
    referrers filters --quiet
    equals "$digests" "$output"
    referrers filters --format json
    [ "$(jq -r .Digest <<<"$output")" = "$digests" ]
    equals "application/vnd.oci.image.manifest.v1+json $bill two" \
        "$(jq -r 'select(.Annotations.number == "two") | "\(.MediaType) \(.ArtifactType) \(.Annotations.number)"' <<<"$output")"
    numbers filters
    equals 'one two three ' "$numbers"
}

@test "one type, whether the registry filters or not" {
    local repository
    for repository in filters ignores tagged; do
        numbers "$repository" --artifact-type "$signature"
        equals 'one three ' "$numbers"
        numbers "$repository" --artifact-type application/x
        equals ' ' "$numbers"
    done
    referrers filters --artifact-type "$bill" --quiet
    grep -q "referrers/sha256:[0-9a-f]*?artifactType=application%2Fspdx%2Bjson " <<<"$log"
    [ "${#lines[@]}" = 1 ]
}

@test "all pages are read, each referrer is listed once" {
    numbers pages
    equals 'one two three ' "$numbers"
    equals 4 "$(grep -c /referrers/ <<<"$log")"
}

@test "of a digest, an index, or what that has for a platform" {
    local image several
    image=sha256:$(digest_of 1) several=sha256:$(digest_of several)
    numbers "filters@$image"
    equals 'one two three ' "$numbers"
    numbers "filters:1@$image"
    equals 'one two three ' "$numbers"
    numbers filters:several
    equals 'four ' "$numbers"
    numbers "filters@$several"
    equals 'four ' "$numbers"
    numbers filters:several --platform arm64
    equals 'one two three ' "$numbers"
    referrers filters:several --platform s390x
    [ "$status" = 1 ]
    [[ $output == *"not there for linux/s390x (it is for: linux/arm64)"* ]]
}

@test "a registry that lists none has them under the digest's tag, or not at all" {
    numbers tagged
    equals 'one two three ' "$numbers"
    numbers old
    equals 'one two three ' "$numbers"
    referrers none --quiet
    [ "$status" = 0 ]
    equals '' "$output"
    referrers none
    [ "$status" = 0 ]
    [ "${#lines[@]}" = 1 ]
    referrers null --quiet
    [ "$status" = 0 ]
    equals '' "$output"
    # What has the tag without being such an index is told, and counts for nothing.
    local repository
    for repository in image damaged; do
        referrers "$repository" --quiet
        [ "$status" = 0 ]
        [ "${#lines[@]}" = 1 ]
        [[ $output == *"the tag sha256-$(digest_of 1) isn't an index of referrers: "* ]]
    done
    referrers failing
    [ "$status" = 1 ]
    [[ $output == *"referrers: manifest: 127.0.0.1:5400 answered unexpectedly: HTTP status 500"* ]]
}

@test "an image that isn't there, or isn't for us" {
    referrers filters:2
    [ "$status" = 1 ]
    [[ $output == "hull: image referrers: 127.0.0.1:5400/filters:2: manifest: not found at 127.0.0.1:5400"* ]]
    referrers "filters@sha256:$(printf 0%.0s {1..64})"
    [ "$status" = 1 ]
    [[ $output == *"not found at 127.0.0.1:5400"* ]]
    referrers denied
    [ "$status" = 1 ]
    [[ $output == *"referrers: list: 127.0.0.1:5400 denies it"* ]]
    run hull image referrers 'No Name'
    [ "$status" = 1 ]
    run hull image referrers
    [ "$status" = 125 ]
    run hull image referrers 127.0.0.1:5409/x:1
    [ "$status" = 1 ]
    [[ $output == *"Failed to connect"* ]]
    referrers private
    [ "$status" = 1 ]
    [[ $output == *"127.0.0.1:5400 wants a user and password"* ]]
    mkdir -p "$DOCKER_CONFIG"
    echo '{"auths": {"127.0.0.1:5400": {"auth": "dXNlcjpzZWNyZXQ="}}}' >"$DOCKER_CONFIG/config.json"
    numbers private
    equals 'one two three ' "$numbers"
}

@test "a short name is looked for where pull looks for it" {
    echo '{"search": ["127.0.0.1:5409", "127.0.0.1:5400"], "attempts": 1}' >"$HULL_REGISTRIES"
    run hull image referrers --quiet filters:1
    [ "$status" = 1 ]
    [[ $output == *"127.0.0.1:5409/filters:1: "* ]]
    echo '{"search": ["127.0.0.1:5400"]}' >"$HULL_REGISTRIES"
    run hull image referrers --quiet filters:1
    [ "${#lines[@]}" = 3 ]
    run hull image referrers filters:2
    [ "$status" = 1 ]
    [[ $output == *"not found at 127.0.0.1:5400"* ]]
}

@test "a busy registry is asked again" {
    numbers busy
    equals 'one two three ' "$numbers"
    equals 2 "$(grep -c /referrers/ <<<"$log")"
}

@test "who we are isn't told to where a registry sends us for more, though its address begins alike" {
    mkdir -p "$DOCKER_CONFIG"
    echo '{"auths": {"127.0.0.1:5400": {"auth": "dXNlcjpzZWNyZXQ="}}}' >"$DOCKER_CONFIG/config.json"
    referrers elsewhere
    [ "$status" = 1 ]
    [[ $output == *"referrers: 127.0.0.1:5400 sends us elsewhere for the rest" ]]
    lacks '^elsewhere' "$log"
    run hull pull --all-tags 127.0.0.1:5400/elsewhere
    [ "$status" = 1 ]
    [[ $output == *"tags: 127.0.0.1:5400 sends us elsewhere for the rest" ]]
    lacks '^elsewhere' "$(cat "$DIRECTORY/log")"
}

@test "lists without an end or a list are errors" {
    referrers endless
    [ "$status" = 1 ]
    [[ ${lines[0]} == *"the list of 127.0.0.1:5400 doesn't end" ]]
    equals 251 "$(grep -c /referrers/ <<<"$log")"
    referrers many
    [ "$status" = 1 ]
    [[ ${lines[0]} == *"127.0.0.1:5400 sends too many: there are more than 10000" ]]
    referrers crowded
    [ "$status" = 1 ]
    [[ ${lines[0]} == *"127.0.0.1:5400 sends too many: there are more than 10000" ]]
    referrers huge
    [ "$status" = 1 ]
    [[ $output == *"longer than"* ]]
    referrers page404
    [ "$status" = 1 ]
    [[ $output == *"list: not found"* ]]
    referrers text
    [ "$status" = 1 ]
    [[ $output == *"127.0.0.1:5400 sent no list"* ]]
}

@test "what can't be a referrer is told and passed over; nothing moves the cursor" {
    referrers invalid --quiet
    [ "$status" = 0 ]
    [ "${#lines[@]}" = 2 ]
    [[ ${lines[0]} == *"12 referrers that 127.0.0.1:5400 lists aren't valid and are passed over: it has no sha256 digest" ]]
    [[ ${lines[1]} =~ ^sha256:[0-9a-f]{64}$ ]]
    referrers control --format '{{.ArtifactType}} {{.Annotations}}'
    [ "$status" = 0 ]
    [[ ${lines[0]} == *"1 referrers that 127.0.0.1:5400 lists aren't valid"*"has a type that can't be one" ]]
    [ "${#lines[@]}" = 2 ]
    [[ ${lines[1]} == "$signature map[key [H:x number:one [2J  line "* ]]
}

# An artifact, without an image's configuration: push_artifact REPOSITORY SUBJECT; sets $artifact
push_artifact() {
    local url=http://127.0.0.1:5000/v2/$1 data location digest
    for data in '{}' 'a bill'; do
        digest=sha256:$(printf %s "$data" | sha256sum | cut -d ' ' -f 1)
        location=$( (inside curl -s -X POST -D - -o /dev/null "$url/blobs/uploads/") | tr -d '\r' | sed -n 's/^Location: //p')
        (inside curl -sf -X PUT -H 'Content-Type: application/octet-stream' --data-binary "$data" "$location&digest=$digest")
    done
    jq -cn --arg subject "$2" --arg digest "$digest" --arg type "$bill" '{schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json", artifactType: $type,
        config: {mediaType: "application/vnd.oci.empty.v1+json", size: 2,
                 digest: "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
        layers: [{mediaType: $type, digest: $digest, size: 6}],
        subject: {mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $subject, size: 7}}' |
        tr -d '\n' >"$BATS_TEST_TMPDIR/artifact"
    artifact=sha256:$(sha256sum <"$BATS_TEST_TMPDIR/artifact" | cut -d ' ' -f 1)
    (inside curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' \
        --data-binary "@$BATS_TEST_TMPDIR/artifact" "$url/manifests/$artifact")
    jq -cn --arg digest "$artifact" --arg type "$bill" --argjson size "$(stat -c %s "$BATS_TEST_TMPDIR/artifact")" \
        '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [{digest: $digest,
          mediaType: "application/vnd.oci.image.manifest.v1+json", artifactType: $type, size: $size}]}' >"$BATS_TEST_TMPDIR/index"
    (inside curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' \
        --data-binary "@$BATS_TEST_TMPDIR/index" "$url/manifests/sha256-${2#sha256:}")
}

# An image whose manifest has a subject, loaded under a name: load_referrer SUBJECT NAME
load_referrer() {
    local layout=$BATS_TEST_TMPDIR/layout old new
    mkdir -p "$BATS_TEST_TMPDIR/text" && echo "$2" >"$BATS_TEST_TMPDIR/text/file"
    tar -C "$BATS_TEST_TMPDIR/text" -c . | (inside "$hull_program" --root "$BATS_TEST_TMPDIR/maker" import - "$2") >/dev/null
    rm -rf "$layout" && skopeo copy --quiet "oci:$BATS_TEST_TMPDIR/maker/images:$2" "oci:$layout:$2"
    old=$(jq -r '.manifests[0].digest' "$layout/index.json" | cut -d : -f 2)
    jq -c --arg digest "$1" '.subject = {mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $digest, size: 7}
        | .annotations = {number: "image"}' "$layout/blobs/sha256/$old" >"$BATS_TEST_TMPDIR/manifest"
    new=$(sha256sum <"$BATS_TEST_TMPDIR/manifest" | cut -d ' ' -f 1)
    cp "$BATS_TEST_TMPDIR/manifest" "$layout/blobs/sha256/$new"
    jq -c --arg digest "sha256:$new" --argjson size "$(stat -c %s "$BATS_TEST_TMPDIR/manifest")" \
        '.manifests[0].digest = $digest | .manifests[0].size = $size' "$layout/index.json" >"$BATS_TEST_TMPDIR/index"
    cp "$BATS_TEST_TMPDIR/index" "$layout/index.json"
    tar -C "$layout" -c . | (inside "$hull_program" --root "$root" load) >/dev/null
}

@test "an archive may have artifacts beside its images, but no artifacts alone" {
    command -v skopeo >/dev/null || skip "no skopeo"
    local layout=$BATS_TEST_TMPDIR/layout digest
    load_referrer "sha256:$(printf 0%.0s {1..64})" localhost/beside:1
    jq -c --arg subject "$(jq -r '.manifests[0].digest' "$layout/index.json")" --arg type "$bill" \
        '.artifactType = $type | .subject.digest = $subject | .config.mediaType = "application/vnd.oci.empty.v1+json"' \
        "$BATS_TEST_TMPDIR/manifest" >"$BATS_TEST_TMPDIR/artifact"
    digest=$(sha256sum <"$BATS_TEST_TMPDIR/artifact" | cut -d ' ' -f 1)
    cp "$BATS_TEST_TMPDIR/artifact" "$layout/blobs/sha256/$digest"
    jq -c --arg digest "sha256:$digest" --argjson size "$(stat -c %s "$BATS_TEST_TMPDIR/artifact")" \
        '.manifests = [{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $digest, size: $size}] + .manifests' \
        "$layout/index.json" >"$BATS_TEST_TMPDIR/both"
    cp "$BATS_TEST_TMPDIR/both" "$layout/index.json"
    tar -C "$layout" -cf "$BATS_TEST_TMPDIR/both.tar" .
    root=$BATS_TEST_TMPDIR/other
    run hull load --input "$BATS_TEST_TMPDIR/both.tar"
    echo "$output"
    [ "$status" = 0 ]
    [[ ${lines[0]} == *"sha256:$digest is passed over: it is no image, but an artifact of type $bill that refers to sha256:"* ]]
    [[ ${lines[1]} == "Loaded image: localhost/beside:1" ]]
    [ ! -e "$root/images/blobs/sha256/$digest" ]
    hull system check
    jq -c '.manifests |= .[:1]' "$BATS_TEST_TMPDIR/both" >"$layout/index.json"
    tar -C "$layout" -cf "$BATS_TEST_TMPDIR/alone.tar" .
    run hull load --input "$BATS_TEST_TMPDIR/alone.tar"
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *"the archive has no image in it" ]]
}

@test "docker-registry: what others and hull entered under the tag; an artifact isn't pulled for an image" {
    command -v docker-registry >/dev/null || skip "no docker-registry"
    command -v skopeo >/dev/null || skip "no skopeo"
    local name=127.0.0.1:5000/subject digest
    make_tree "$BATS_TEST_TMPDIR/tree"
    tar -C "$BATS_TEST_TMPDIR/tree" -c . | (inside "$hull_program" --root "$root" import - "$name:1") >/dev/null
    # By its id no registry is known, before it was pushed.
    id=$(hull images --quiet "$name")
    run hull image referrers "$id"
    [ "$status" = 1 ]
    [[ $output == *"was neither pulled nor pushed"*"--local"* ]]
    hull push --quiet "$name:1"
    digest=$(hull image inspect --format '{{.Descriptor.digest}}' "$name:1")
    equals '' "$(hull image referrers --quiet "$name:1")"
    push_artifact subject "$digest"
    equals "$artifact $bill" "$(hull image referrers --format '{{.Digest}} {{.ArtifactType}}' "$name:1")"
    load_referrer "$digest" "$name:signed"
    equals "$(hull image inspect --format '{{.Descriptor.digest}}' "$name:signed")" "$(hull image referrers --local --quiet "$name:1")"
    hull push --quiet "$name:signed"
    equals "$bill application/vnd.oci.image.config.v1+json" "$(hull image referrers --format '{{.ArtifactType}}' "$id" | paste -sd ' ')"
    equals image "$(hull image referrers --artifact-type application/vnd.oci.image.config.v1+json --format '{{.Annotations.number}}' "$name@$digest")"
    # The one that is an image can be pulled, by the digest that is listed.
    root=$BATS_TEST_TMPDIR/other
    hull pull --quiet "$name@$(hull image referrers --quiet "$name:1" | tail -n 1)"
    run hull pull "$name@$artifact"
    echo "$output"
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *"$name@$artifact: it is no image, but an artifact of type $bill that refers to $digest" ]]
    run hull images --quiet --no-trunc
    [ "${#lines[@]}" = 1 ]
    hull system check
}

@test "of the store: by every name, the id and the digest, of one type, and none of what isn't there" {
    command -v skopeo >/dev/null || skip "no skopeo"
    local digest id name
    make_tree "$BATS_TEST_TMPDIR/tree"
    tar -C "$BATS_TEST_TMPDIR/tree" -c . | (inside "$hull_program" --root "$root" import - localhost/subject:1) >/dev/null
    digest=$(hull image inspect --format '{{.Descriptor.digest}}' localhost/subject:1)
    id=$(hull images --quiet localhost/subject)
    equals '' "$(hull image referrers --local --quiet "$id")"
    load_referrer "$digest" localhost/one:1
    load_referrer "$digest" localhost/two:1
    load_referrer "sha256:$(printf 0%.0s {1..64})" localhost/stranger:1
    hull tag localhost/one:1 localhost/again:1
    for name in localhost/subject:1 "$id" "localhost/subject@$digest" "$digest"; do
        run hull image referrers --local --quiet "$name"
        echo "$output"
        [ "$status" = 0 ]
        [ "${#lines[@]}" = 2 ]
    done
    equals 'image image' "$(hull image referrers --local --format '{{.Annotations.number}}' "$id" | paste -sd ' ')"
    equals '' "$(hull image referrers --local --quiet --artifact-type "$bill" "$id")"
    hull rmi localhost/two:1
    equals "$(hull image inspect --format '{{.Descriptor.digest}}' localhost/one:1)" "$(hull image referrers --local --quiet "$id")"
    run hull image referrers --local localhost/nothing:1
    [ "$status" = 1 ]
    [[ $output == "hull: image referrers: no such image: localhost/nothing:1 (see 'hull images')" ]]
    run hull image referrers --local --platform arm64 localhost/subject:1
    [ "$status" = 1 ]
    [[ $output == *"--platform doesn't go with --local"* ]]
}
