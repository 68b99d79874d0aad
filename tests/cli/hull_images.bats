# Images that containers use.
load hull

@test "an image that a container uses is removed only by force, and its files stay for that" {
    hull create --network none --name web busybox true >/dev/null
    id=$(hull image inspect --format '{{.Id}}' busybox)
    run_hull rmi busybox
    refused 1 'image busybox is used by container web'
    run_hull rmi "${id:7:12}"
    refused 1 'is used by container web'
    hull image prune -af >/dev/null
    equals "$id" "$(hull image inspect --format '{{.Id}}' busybox)"
    hull rmi -f "${id:7:12}"
    equals '' "$(hull images -q)"
    hull image prune -af >/dev/null
    hull system check
    hull start web
    equals 0 "$(hull wait web)"
    hull rm web >/dev/null
    hull image prune -f >/dev/null
    hull system check
    equals 0 "$(find "$root/images/blobs/sha256" "$root/images/layers" -mindepth 1 | wc -l)"
}

@test "not even by force an image goes by its id while a container of it runs" {
    hull run -d --network none --name web busybox sleep 100 >/dev/null
    id=$(hull image inspect --format '{{.Id}}' busybox)
    run_hull rmi -f "$id"
    refused 1 'is used by container web'
    contains "which runs (stop it first: this can't be forced)" "$stderr"
    equals "$id" "$(hull images -q --no-trunc)"
    hull tag busybox other
    equals 'Untagged: other:latest' "$(hull rmi -f other)"
    hull stop -t 0 web >/dev/null
    hull rmi -f "$id" >/dev/null
    equals '' "$(hull images -q)"
    hull rm web >/dev/null
    hull image prune -f >/dev/null
    hull system check
}
