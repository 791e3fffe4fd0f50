-- Whether a schedule took it and nobody has renamed it or changed its end since: such ones are thinned out.
alter table instance_snapshots add column scheduled integer not null default 0;
