"""The API extensions of this server: only what works, in LXD's order, then our own.

Clients decide by this list what they may ask. Source: LXD, doc/api-extensions.
"""

EXTENSIONS = [
    "container_host_shutdown_timeout", "container_stop_priority", "container_syscall_filtering", "auth_pki",
    "container_last_used_at", "etag", "patch", "image_compression_algorithm", "directory_manipulation",
    "container_cpu_time", "network", "profile_usedby", "container_exec_recording", "certificate_update",
    "container_exec_signal_handling", "container_image_properties", "id_map", "storage", "file_delete", "file_append",
    "network_dhcp_expiry", "network_vlan", "image_create_aliases", "entity_description", "image_force_refresh",
    "id_map_base", "file_symlinks", "network_vlan_physical", "storage_images_delete", "container_edit_metadata",
    "resources", "storage_api_volume_rename", "console", "restrict_devlxd", "devlxd_events", "proxy",
    "file_get_symlink", "network_leases", "operation_description", "event_lifecycle", "devlxd_images", "proxy_unix",
    "proxy_udp", "proxy_tcp_udp_multi_port_handling", "network_state", "proxy_unix_dac_properties",
    "container_protection_delete", "unix_priv_drop", "proxy_haproxy_protocol", "network_hwaddr", "proxy_nat",
    "container_full", "storage_unmapped", "usb_optional_vendorid", "snapshot_scheduling", "snapshot_schedule_aliases",
    "container_protection_shift", "snapshot_expiry", "snapshot_expiry_creation", "resources_cpu_socket",
    "resources_gpu", "resources_numa", "id_map_current", "container_nic_routes", "seccomp_notify",
    "container_nic_ipvlan", "container_nic_ipfilter", "resources_v2", "container_exec_user_group_cwd",
    "container_syscall_intercept", "container_disk_shift", "storage_shifted", "instances", "image_types",
    "resources_disk_sata", "images_expiry", "container_syscall_intercept_mount", "compression_squashfs",
    "container_raw_mount", "container_nic_routed", "container_syscall_intercept_mount_fuse", "image_profiles",
    "resources_disk_id", "api_filtering", "instance_nic_network", "firewall_driver", "container_nic_routed_gateway",
    "trust_ca_certificates", "snapshot_disk_usage", "container_nic_routed_host_address",
    "container_nic_ipvlan_gateway", "resources_usb_pci", "resources_cpu_threads_numa", "resources_cpu_core_die",
    "api_os", "container_nic_routed_host_table", "container_nic_ipvlan_host_table", "container_nic_ipvlan_mode",
    "resources_system", "images_push_relay", "container_nic_routed_limits", "instance_nic_bridged_vlan",
    "usedby_consistency", "container_syscall_intercept_bpf_devices", "resources_pci_iommu", "resources_disk_address",
    "instance_nic_bridged_port_isolation", "storage_volume_state", "certificate_project",
    "images_default_architecture", "warnings", "server_instance_driver_operational",
    "server_supported_storage_drivers", "event_lifecycle_requestor_address", "network_counters_errors_dropped",
    "metrics", "image_source_project", "certificate_self_renewal", "cloud_init", "instance_all_projects",
    "instance_get_full", "event_project", "storage_volume_api_filtering", "metrics_cpu_seconds",
    "instance_snapshot_never", "certificate_token", "instance_nic_routed_neighbor_probe", "metrics_authentication",
    "container_syscall_intercept_sched_setscheduler", "storage_volume_state_total", "instance_file_head",
    "storage_volumes_all_projects", "container_syscall_intercept_sysinfo", "instance_ready_state",
    "metadata_configuration", "image_source_build",
]  # fmt: skip
