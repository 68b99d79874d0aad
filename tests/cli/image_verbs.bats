# images, image inspect, history, tag, rmi, image prune, import: as a docker user types them.
load image

# What users other than root have to get at.
teardown() {
    [ -n "${mine:-}" ] || return 0
    # The process that keeps the user's namespaces.
    kill "$(cut -d ' ' -f 1 "$mine/run/hull/namespace")" || true
    rm -rf "$mine"
}

@test "a store without images lists none, and is made by whoever looks" {
    run hull images
    equals 0 "$status"
    [[ $output == REPOSITORY*TAG*'IMAGE ID'*CREATED*SIZE ]]
    equals 1 "$(hull image ls | wc -l)"
    equals '' "$(hull images -q)"
    equals '' "$(hull images --format json)"
    is_sound
}

@test "busybox is there without a network, always the same" {
    id=$(unshare --net "$HULL" --root "$root" image inspect --format '{{.Id}}' busybox)
    [[ $id == sha256:* ]]
    equals "busybox:latest" "$(hull images --format '{{.Repository}}:{{.Tag}}')"
    equals '["sh"]' "$(field busybox '{{json .Config.Cmd}}')"
    equals "$id" "$("$HULL" --root "$BATS_TEST_TMPDIR/other" image inspect --format '{{.Id}}' docker.io/library/busybox:latest)"
    layer=$(field busybox '{{.GraphDriver.Data.LowerDir}}')
    [ -x "$layer/bin/busybox" ]
    chroot "$layer" /bin/sh -c '[ "$(id -un)" = root ] && [ -d /proc ]'
    is_sound
    # Every verb that reads an image makes it.
    for verb in 'history -q' 'save -o archive' 'tag'; do
        rm -rf "$root"
        # shellcheck disable=SC2086
        hull $verb busybox $([ "$verb" != tag ] || echo mine)
    done
    hull rmi busybox
    equals "$id" "$(field mine '{{.Id}}')"
    run hull image inspect busybox:1.36
    failed_with 1 'no such image: busybox:1.36'
}

@test "import makes an image of a tar, compressed or not, from a file or a pipe" {
    make_tree tree
    tar --create --directory tree . >tree.tar
    gzip --keep tree.tar
    zstd --quiet tree.tar
    id=$(hull import tree.tar one)
    [[ $id == sha256:???????????????????????????????????????????????????????????????? ]]
    hull import tree.tar.gz two:gz
    hull import - three:zstd <tree.tar.zst
    hull import -m other tree.tar
    equals "$(field one '{{json .RootFS}}')" "$(field two:gz '{{json .RootFS}}')"
    equals "$(field one '{{json .RootFS}}')" "$(field three:zstd '{{json .RootFS}}')"
    equals '<none>:<none> one:latest three:zstd two:gz' \
        "$(hull images --format '{{.Repository}}:{{.Tag}}' | sort | paste -sd' ')"
    layer=$(field one '{{.GraphDriver.Data.LowerDir}}')
    equals text "$(cat "$layer/etc/word")"
    equals 4755 "$(stat -c %a "$layer/bin/tool")"
    equals 1777 "$(stat -c %a "$layer/tmp")"
    equals 2 "$(stat -c %h "$layer/bin/hard")"
    is_sound
}

@test "import applies changes, and refuses what is none" {
    make_tree tree
    tar --create --directory tree . >tree.tar
    hull import --message 'by hand' -c 'CMD ["a", "b"]' -c 'ENV X=1 Y="2 3"' -c 'EXPOSE 80 53/udp' \
        -c 'LABEL tier=front' -c 'WORKDIR /srv' -c 'WORKDIR sub' -c 'USER 1000:1000' \
        -c 'ENTRYPOINT run this' -c 'VOLUME /data ["x"]' -c 'STOPSIGNAL SIGINT' \
        -c 'HEALTHCHECK --interval=5s CMD true' tree.tar changed:1
    equals '["a","b"]' "$(field changed:1 '{{json .Config.Cmd}}')"
    equals '["X=1","Y=2 3"]' "$(field changed:1 '{{json .Config.Env}}')"
    equals '["/bin/sh","-c","run this"]' "$(field changed:1 '{{json .Config.Entrypoint}}')"
    equals '/srv/sub 1000:1000 SIGINT front' \
        "$(field changed:1 '{{.Config.WorkingDir}} {{.Config.User}} {{.Config.StopSignal}} {{.Config.Labels.tier}}')"
    equals 5000000000 "$(field changed:1 '{{.Config.Healthcheck.Interval}}')"
    equals 'by hand' "$(hull history --format '{{.Comment}}' changed:1)"
    hull import --platform linux/arm64 tree.tar arm
    equals 'linux/arm64' "$(field arm '{{.Os}}/{{.Architecture}}')"
    for change in 'FROM x' 'EXPOSE 99999' 'HEALTHCHECK x' 'HEALTHCHECK --interval=999999999h CMD true' \
        'HEALTHCHECK --retries=x CMD true' 'CMD' 'ENV =x'; do
        run hull import -c "$change" tree.tar bad
        failed_with 1 "change '$change"
    done
    run hull import tree.tar Bad
    failed_with 1 'lower case'
    run hull import nowhere.tar bad
    failed_with 1 nowhere.tar
    run hull import --platform nonsense/a/b/c tree.tar bad
    failed_with 1 'invalid platform'
    run hull image inspect bad
    failed_with 1 'no such image'
    is_sound
}

@test "import of what is no archive leaves nothing" {
    head -c 100000 /dev/urandom >noise
    run hull import noise bad
    failed_with 1 damaged
    make_tree tree
    tar --create --gzip --directory tree . >tree.tar.gz
    head -c 150 tree.tar.gz >cut
    run hull import cut bad
    failed_with 1 'ends too early'
    equals '' "$(hull images -q)"
    equals 'Total reclaimed space: 0B' "$(hull image prune -f)"
    is_sound
}

@test "images shows what it is asked for" {
    import_image one one -c 'LABEL a=1' >one.id
    import_image host.example:5000/group/two:v2 two -c 'LABEL b=2' >two.id
    import_image one:other three >three.id
    import_image gone four >four.id
    import_image gone five >five.id
    id=$(cut -c8-19 one.id)
    equals 5 "$(hull images -q | wc -l)"
    equals "$(cat two.id)" "$(hull images -q --no-trunc host.example:5000/group/two)"
    equals "$id" "$(hull images -q one:latest)"
    equals 'latest other' "$(hull images one --format '{{.Tag}}' | sort | paste -sd' ')"
    equals "$(cut -c8-19 four.id)" "$(hull images -q --filter dangling=true)"
    equals 4 "$(hull images -q -f dangling=false | wc -l)"
    equals "$id" "$(hull images -qf label=a)"
    equals "$id" "$(hull images -qf label=a=1)"
    equals '' "$(hull images -qf label=a=2)"
    equals '' "$(hull images -qf label=a -f label=b)"
    equals "$(cut -c8-19 two.id)" "$(hull images -qf reference='*/group/*')"
    equals 2 "$(hull images -qf reference='one:*' | wc -l)"
    equals 3 "$(hull images -qf reference='one' -f reference='gone:la*' | wc -l)"
    run hull images --digests
    [[ ${lines[0]} == *DIGEST* ]]
    hull images --format json | jq -es 'length == 5 and all(.[]; has("ID") and has("Size"))'
    equals 'one latest' "$(hull images --filter label=a --format '{{.Repository}} {{.Tag}}')"
    run hull images --format 'table {{.Repository}}\t{{.ID}}' one
    [[ ${lines[0]} == REPOSITORY*'IMAGE ID' ]]
    for filter in color=red label dangling=maybe before=nothing until=yesterday; do
        run hull images --filter "$filter"
        failed_with 1 "${filter##*=}"
    done
    run hull images --format '{{.Nothing'
    equals 1 "$status"
}

@test "before and since compare ages" {
    for i in 1 2 3; do
        import_image "age:$i" "word$i"
        # Ages have seconds.
        [ "$i" = 3 ] || wait_until 3 eval '[ "$(date +%s)" -gt "$(date +%s -d "$(field "age:$i" "{{.Created}}")")" ]'
    done
    equals 1 "$(hull images -f before=age:2 --format '{{.Tag}}')"
    equals 3 "$(hull images -f since=age:2 --format '{{.Tag}}')"
    equals '3 2' "$(hull images -f since=age:1 --format '{{.Tag}}' | paste -sd' ')"
    equals '3 2 1' "$(hull images age --format '{{.Tag}}' | paste -sd' ')" # the youngest first
    equals '' "$(hull images -qf until=1h)"
    equals 3 "$(hull images -qf until="$(($(date +%s) + 10))" | wc -l)"
    equals 3 "$(hull images -qf until=2100-01-01 | wc -l)"
}

@test "inspect prints what docker prints" {
    id=$(import_image x:1)
    hull tag x:1 y
    hull image inspect x:1 y >all
    equals 2 "$(jq length all)"
    equals "$id" "$(jq -r '.[0].Id' all)"
    equals 'x:1 y:latest' "$(jq -r '.[1].RepoTags | sort | join(" ")' all)"
    jq -e '.[0] | (.Created | test("^20..-")) and .Os == "linux" and (.Size > 0) and
        (.RootFS.Layers | length == 1) and .Parent == "" and (.RepoDigests == [])' all
    run hull image inspect x:1 nothing
    failed_with 1 'no such image: nothing'
    [[ $output == *'"Id"'* ]]
    equals "$id" "$(field "${id:7:10}" '{{.Id}}')"
    hull image inspect --format json x:1 | jq -e .Id
}

@test "history tells each step" {
    printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"history":[{"created":"2020-01-02T03:04:05Z","created_by":"/bin/sh -c #(nop) ADD file:0123456789012345678901234567890123456789 in / ","comment":"first"},{"empty_layer":true,"created_by":"ENV x"}]}' >config
    mkdir -p tree/d
    echo 0123456789 >tree/d/file
    tar --create --directory tree . >layer.tar
    jq -c --arg diff "sha256:$(sha256sum <layer.tar | cut -c1-64)" '.rootfs.diff_ids = [$diff]' config >c.json
    printf '[{"Config":"c.json","RepoTags":["told:1"],"Layers":["layer.tar"]}]' >manifest.json
    tar --create manifest.json c.json layer.tar | hull load
    run hull history told:1
    [[ ${lines[0]} == IMAGE*CREATED*'CREATED BY'*SIZE*COMMENT ]]
    [[ ${lines[1]} == *'ENV x'*0B* ]]
    [[ ${lines[2]} == '<missing>'*'years ago'*'/bin/sh -c #(nop) ADD file:01234567890123456…'*11B*first* ]]
    equals "$(hull images -q) <missing>" "$(hull history -q told:1 | paste -sd' ')"
    hull history --no-trunc --format '{{.CreatedBy}}' told:1 | grep -q '0123456789012345678901234567890123456789 in / $'
    equals '11 2020-01-02 03:04:05 +0000 UTC' \
        "$(TZ=UTC hull history --human=false --format '{{.Size}} {{.CreatedAt}}' told:1 | tail -n 1)"
    equals N/A "$(hull history --format '{{.CreatedSince}}' told:1 | head -n 1)"
    run hull history nothing
    failed_with 1 'no such image'
}

@test "tag and rmi follow docker's rules" {
    id=$(import_image a:1)
    hull tag a:1 a:2
    hull image tag "${id:7:12}" host.example/b:1
    run hull tag a:1 'Not a name'
    failed_with 1 'invalid image name'
    run hull tag a:1 "a@$id"
    failed_with 1 digest
    run hull tag nothing a:3
    failed_with 1 'no such image: nothing'
    run hull rmi "$id"
    failed_with 1 'several repositories'
    equals 'Untagged: host.example/b:1' "$(hull rmi host.example/b:1)"
    equals "$id" "$(field a:2 '{{.Id}}')"
    run hull rmi a:1 nothing a:2
    failed_with 1 'no such image: nothing'
    [[ $output == *'Untagged: a:1'*'Untagged: a:2'*"Deleted: $id"*'Deleted: sha256:'* ]]
    equals '' "$(hull images -q)"
    equals 0 "$(find "$root/images/blobs" "$root/images/layers" "$root/images/layer-info" -mindepth 2 | wc -l)"
    import_image c
    hull tag c d:1
    hull image rm -f "$(hull images -q c)"
    equals '' "$(hull images -q)"
    is_sound
}

@test "prune asks, and removes what is dangling, or all by -a" {
    import_image moved one
    import_image moved two -c 'LABEL keep=1'
    import_image moved three
    run hull image prune <<<n
    equals 0 "$status"
    [[ $output == *'remove all dangling images'*'[y/N]'* ]]
    equals 3 "$(hull images -q | wc -l)"
    hull image prune -f --filter label=keep >out
    equals 2 "$(hull images -q | wc -l)"
    hull image prune <<<y >out
    grep -q '^deleted: sha256:' out
    grep -q '^Total reclaimed space: [1-9]' out
    equals moved "$(hull images --format '{{.Repository}}')"
    hull image prune -af >out
    grep -q '^untagged: moved:latest' out
    equals '' "$(hull images -q)"
    equals 'Total reclaimed space: 0B' "$(hull image prune -af)"
    for filter in until=yesterday label color=red; do
        run hull image prune -f --filter "$filter"
        failed_with 1 "$filter"
    done
    import_image young
    hull image prune -af --filter until=1h
    equals young "$(hull images --format '{{.Repository}}')"
    hull image prune -af --filter 'label!=x' --filter until=2100-01-01
    equals '' "$(hull images -q)"
    is_sound
}

@test "system check tells each fault, and fails" {
    import_image a
    is_sound
    blob=$(find "$root/images/blobs/sha256" -size +4k)
    printf X | dd of="$blob" bs=1 seek=600 conv=notrunc status=none
    run hull system check --quick
    equals 0 "$status"
    run hull system check
    failed_with 1 "blob ${blob##*/} is damaged"
    [[ $output == *'1 fault found'* ]]
    hull rmi a
    is_sound
}

@test "a damaged image is told, doesn't hide others, and can be removed, even after a reboot" {
    import_image good one
    import_image bad two
    manifest=$(field bad '{{.Descriptor.digest}}')
    echo '{}' >"$root/images/blobs/sha256/${manifest#sha256:}"
    run hull images
    equals 0 "$status"
    [[ $output == *good* && $output == *'is damaged'* ]]
    ln -sfn another-boot "$root/images/boot"
    run hull images -q
    equals 0 "$status"
    run hull image prune -f
    failed_with 1 'docker.io/library/bad:latest is damaged (remove it)'
    hull rmi bad
    equals 1 "$(hull images -q | wc -l)"
    is_sound
}

@test "looking at images loads no large library" {
    import_image a:1
    for verb in 'images' 'image inspect a:1' 'history a:1' 'tag a:1 a:2' 'rmi a:2' 'image prune -f'; do
        # shellcheck disable=SC2086
        LD_DEBUG=files hull $verb >out 2>loaded
        grep -q libjansson loaded
        run grep -oE 'lib(crypto|archive|curl)' loaded
        equals '' "$output"
    done
}

@test "users other than root have images of their own" {
    mine=$(mktemp --directory "${HULL_TEST_DIRECTORY:-/tmp}/mXXXXXX")
    chmod 777 "$mine"
    cp "$HULL" "$mine/hull"
    make_tree tree
    mkdir -m 500 tree/closed
    touch tree/.wh.gone tree/closed/.wh..wh..opq
    mknod tree/null c 1 3
    tar --create --directory tree --file "$mine/tree.tar" .
    install -d -m 700 -o 12345 "$mine/run"
    user_hull() { HOME=$mine XDG_RUNTIME_DIR=$mine/run setpriv --reuid 12345 --regid 12345 --clear-groups "$mine/hull" --root "$mine/root" "$@"; }
    run user_hull import "$mine/tree.tar" x:1
    equals 0 "$status"
    [[ $output == *'device null is left out'* ]]
    equals x:1 "$(user_hull images --format '{{.Repository}}:{{.Tag}}')"
    layer=$(user_hull image inspect --format '{{.GraphDriver.Data.LowerDir}}' x:1)
    equals '12345 text' "$(stat -c %u "$layer/etc/word") $(cat "$layer/etc/word")"
    [ -c "$layer/gone" ] && [ ! -e "$layer/null" ]
    equals user.overlay.opaque "$(python3 -c 'import os, sys; print(*os.listxattr(sys.argv[1]))' "$layer/closed")"
    user_hull system check
    user_hull save x:1 | hull load
    equals "$(user_hull image inspect --format '{{.Id}}' x:1)" "$(field x:1 '{{.Id}}')"
    # The same busybox as root's.
    equals "$(user_hull image inspect --format '{{.Id}}' busybox)" "$(field busybox '{{.Id}}')"
    user_hull rmi x:1 busybox
    equals '' "$(user_hull images -q)"
    user_hull system check
}
