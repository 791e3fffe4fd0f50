create table instance_snapshots (
    id integer primary key,
    instance_id integer not null references instances (id) on delete cascade,
    name text not null,
    architecture text not null,
    ephemeral integer not null default 0,
    stateful integer not null default 0,
    description text not null default '',
    created_at text not null,
    last_used_at text not null,
    expires_at text not null,
    config text not null default '{}',
    devices text not null default '{}',
    profiles text not null default '[]',
    unique (instance_id, name)
);
