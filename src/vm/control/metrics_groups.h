/* The groups of metrics and the fields of each, from which both the structures and what prints them
 * are made: C counts, M measures, L aggregates latencies. */
#ifndef HULL_VM_CONTROL_METRICS_GROUPS_H
#define HULL_VM_CONTROL_METRICS_GROUPS_H

/* clang-format off */
#define METRICS_API_SERVER(C, M, L) M(process_startup_time_us) M(process_startup_time_cpu_us)

#define METRICS_BALLOON(C, M, L)                                                                   \
    C(activate_fails) C(inflate_count) C(stats_updates_count) C(stats_update_fails)                \
    C(deflate_count) C(event_fails) C(free_page_report_count) C(free_page_report_freed)            \
    C(free_page_report_fails) C(free_page_hint_count) C(free_page_hint_freed)                      \
    C(free_page_hint_fails)

#define METRICS_BLOCK(C, M, L)                                                                     \
    C(activate_fails) C(cfg_fails) C(no_avail_buffer) C(event_fails) C(execute_fails)              \
    C(invalid_reqs_count) C(flush_count) C(queue_event_count) C(rate_limiter_event_count)          \
    C(update_count) C(update_fails) C(read_bytes) C(write_bytes) C(read_count) C(write_count)      \
    C(rate_limiter_throttled_events) C(io_engine_throttled_events) C(remaining_reqs_count)         \
    L(read_agg) L(write_agg)

#define METRICS_DEPRECATED_API(C, M, L) C(deprecated_http_api_calls)

#define METRICS_GET_API_REQUESTS(C, M, L)                                                          \
    C(instance_info_count) C(machine_cfg_count) C(mmds_count) C(vmm_version_count)                 \
    C(hotplug_memory_count)

#define METRICS_I8042(C, M, L)                                                                     \
    C(error_count) C(missed_read_count) C(missed_write_count) C(read_count) C(reset_count)         \
    C(write_count)

#define METRICS_LATENCIES_US(C, M, L)                                                              \
    M(full_create_snapshot) M(diff_create_snapshot) M(load_snapshot) M(pause_vm) M(resume_vm)      \
    M(vmm_full_create_snapshot) M(vmm_diff_create_snapshot) M(vmm_load_snapshot) M(vmm_pause_vm)   \
    M(vmm_resume_vm)

#define METRICS_LOGGER(C, M, L)                                                                    \
    C(missed_metrics_count) C(metrics_fails) C(missed_log_count) C(rate_limited_log_count)

#define METRICS_MMDS(C, M, L)                                                                      \
    C(rx_accepted) C(rx_accepted_err) C(rx_accepted_unusual) C(rx_bad_eth) C(rx_invalid_token)     \
    C(rx_no_token) C(rx_count) C(tx_bytes) C(tx_count) C(tx_errors) C(tx_frames)                   \
    C(connections_created) C(connections_destroyed)

#define METRICS_NET(C, M, L)                                                                       \
    C(activate_fails) C(cfg_fails) C(mac_address_updates) C(no_rx_avail_buffer)                    \
    C(no_tx_avail_buffer) C(event_fails) C(rx_queue_event_count) C(rx_event_rate_limiter_count)    \
    C(rx_rate_limiter_throttled) C(rx_tap_event_count) C(rx_bytes_count) C(rx_packets_count)       \
    C(rx_fails) C(rx_count) C(tap_read_fails) C(tap_write_fails) C(tx_bytes_count)                 \
    C(tx_malformed_frames) C(tx_fails) C(tx_count) C(tx_packets_count) C(tx_queue_event_count)     \
    C(tx_rate_limiter_event_count) C(tx_rate_limiter_throttled) C(tx_spoofed_mac_count)            \
    C(tx_remaining_reqs_count) L(tap_write_agg)

#define METRICS_PATCH_API_REQUESTS(C, M, L)                                                        \
    C(drive_count) C(drive_fails) C(network_count) C(network_fails) C(machine_cfg_count)           \
    C(machine_cfg_fails) C(mmds_count) C(mmds_fails) C(hotplug_memory_count)                       \
    C(hotplug_memory_fails) C(pmem_count) C(pmem_fails)

#define METRICS_PUT_API_REQUESTS(C, M, L)                                                          \
    C(actions_count) C(actions_fails) C(boot_source_count) C(boot_source_fails) C(drive_count)     \
    C(drive_fails) C(logger_count) C(logger_fails) C(machine_cfg_count) C(machine_cfg_fails)       \
    C(cpu_cfg_count) C(cpu_cfg_fails) C(metrics_count) C(metrics_fails) C(network_count)           \
    C(network_fails) C(mmds_count) C(mmds_fails) C(vsock_count) C(vsock_fails) C(pmem_count)       \
    C(pmem_fails) C(serial_count) C(serial_fails) C(hotplug_memory_count) C(hotplug_memory_fails)

#define METRICS_SECCOMP(C, M, L) M(num_faults)

#define METRICS_VCPU(C, M, L)                                                                      \
    C(exit_io_in) C(exit_io_out) C(exit_mmio_read) C(exit_mmio_write) C(failures)                  \
    C(kvmclock_ctrl_fails) L(exit_io_in_agg) L(exit_io_out_agg) L(exit_mmio_read_agg)              \
    L(exit_mmio_write_agg)

#define METRICS_VMM(C, M, L) M(panic_count)

#define METRICS_UART(C, M, L)                                                                      \
    C(error_count) C(flush_count) C(missed_read_count) C(missed_write_count) C(read_count)         \
    C(write_count) C(rate_limiter_dropped_bytes)

#define METRICS_SIGNALS(C, M, L)                                                                   \
    M(sigbus) M(sigsegv) M(sigxfsz) M(sigxcpu) C(sigpipe) M(sighup) M(sigill)

#define METRICS_VSOCK(C, M, L)                                                                     \
    C(activate_fails) C(cfg_fails) C(rx_queue_event_fails) C(tx_queue_event_fails)                 \
    C(ev_queue_event_fails) C(muxer_event_fails) C(conn_event_fails) C(rx_queue_event_count)       \
    C(tx_queue_event_count) C(rx_bytes_count) C(tx_bytes_count) C(rx_packets_count)                \
    C(tx_packets_count) C(conns_added) C(conns_killed) C(conns_removed) C(killq_resync)            \
    C(tx_flush_fails) C(tx_write_fails) C(rx_read_fails)

#define METRICS_ENTROPY(C, M, L)                                                                   \
    C(activate_fails) C(entropy_event_fails) C(entropy_event_count) C(entropy_bytes)               \
    C(host_rng_fails) C(entropy_rate_limiter_throttled) C(rate_limiter_event_count)

#define METRICS_INTERRUPTS(C, M, L) C(triggers) C(config_updates)

#define METRICS_PMEM(C, M, L)                                                                      \
    C(activate_fails) C(cfg_fails) C(event_fails) C(queue_event_count)                             \
    C(rate_limiter_throttled_events) C(rate_limiter_event_count)

#define METRICS_MEMORY_HOTPLUG(C, M, L)                                                            \
    C(activate_fails) C(queue_event_fails) C(queue_event_count) C(plug_count) C(plug_bytes)        \
    C(plug_fails) L(plug_agg) C(unplug_count) C(unplug_bytes) C(unplug_fails)                      \
    C(unplug_discard_fails) L(unplug_agg) C(state_count) C(state_fails) L(state_agg)               \
    C(unplug_all_count) C(unplug_all_fails) L(unplug_all_agg)

/* The groups there is one of: name and fields. */
#define METRICS_SINGLE(G)                                                                          \
    G(api_server, METRICS_API_SERVER) G(balloon, METRICS_BALLOON)                                  \
    G(deprecated_api, METRICS_DEPRECATED_API) G(get_api_requests, METRICS_GET_API_REQUESTS)        \
    G(i8042, METRICS_I8042) G(latencies_us, METRICS_LATENCIES_US) G(logger, METRICS_LOGGER)        \
    G(mmds, METRICS_MMDS) G(patch_api_requests, METRICS_PATCH_API_REQUESTS)                        \
    G(put_api_requests, METRICS_PUT_API_REQUESTS) G(seccomp, METRICS_SECCOMP)                      \
    G(vcpu, METRICS_VCPU) G(vmm, METRICS_VMM) G(uart, METRICS_UART) G(signals, METRICS_SIGNALS)    \
    G(vsock, METRICS_VSOCK) G(entropy, METRICS_ENTROPY) G(interrupts, METRICS_INTERRUPTS)          \
    G(pmem, METRICS_PMEM) G(memory_hotplug, METRICS_MEMORY_HOTPLUG)

#define METRICS_DECLARE_COUNTER(name) struct metric_counter name;
#define METRICS_DECLARE_MEASURE(name) struct metric_measure name;
#define METRICS_DECLARE_LATENCY(name) struct metric_latency name;
#define METRICS_DECLARE_GROUP(name, FIELDS)                                                        \
    struct metrics_##name {                                                                        \
        FIELDS(METRICS_DECLARE_COUNTER, METRICS_DECLARE_MEASURE, METRICS_DECLARE_LATENCY)          \
    };
METRICS_SINGLE(METRICS_DECLARE_GROUP)
METRICS_DECLARE_GROUP(block, METRICS_BLOCK)
METRICS_DECLARE_GROUP(net, METRICS_NET)

#define METRICS_DECLARE_MEMBER(name, FIELDS) struct metrics_##name name;
struct metrics_single {
    METRICS_SINGLE(METRICS_DECLARE_MEMBER)
};
/* clang-format on */

#endif
