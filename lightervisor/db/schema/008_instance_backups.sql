create table instance_backups (
    id integer primary key,
    instance_id integer not null references instances (id) on delete cascade,
    name text not null,
    created_at text not null,
    expires_at text not null,
    instance_only integer not null default 0,
    optimized_storage integer not null default 0,
    file text not null,
    unique (instance_id, name)
);
