alter table volume_backups add column optimized_storage integer not null default 0;
