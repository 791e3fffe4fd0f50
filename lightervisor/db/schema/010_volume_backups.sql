create table volume_backups (
    id integer primary key,
    volume_id integer not null references storage_volumes (id) on delete cascade,
    name text not null,
    created_at text not null,
    expires_at text not null,
    volume_only integer not null default 0,
    file text not null,
    unique (volume_id, name)
);
