create table volume_snapshots (
    id integer primary key,
    volume_id integer not null references storage_volumes (id) on delete cascade,
    name text not null,
    description text not null default '',
    config text not null default '{}',
    created_at text not null,
    expires_at text not null,
    unique (volume_id, name)
);
