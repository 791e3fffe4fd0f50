create table server_config (key text primary key, value text not null);

create table profiles (
    id integer primary key,
    project text not null default 'default',
    name text not null,
    description text not null default '',
    config text not null default '{}',
    devices text not null default '{}',
    unique (project, name)
);
insert into profiles (name, description) values ('default', 'Default LXD profile');

create table instances (
    id integer primary key,
    project text not null default 'default',
    name text not null,
    architecture text not null,
    ephemeral integer not null default 0,
    stateful integer not null default 0,
    description text not null default '',
    created_at text not null,
    last_used_at text not null,
    config text not null default '{}',
    devices text not null default '{}',
    profiles text not null default '[]',
    unique (project, name)
);

create table operation_journal (
    id integer primary key,
    operation text not null,
    step integer not null,
    undo text not null,
    arguments text not null,
    unique (operation, step)
);

create table warnings (
    uuid text primary key,
    project text not null default '',
    type text not null,
    entity_url text not null default '',
    status text not null default 'new',
    severity text not null default 'low',
    count integer not null default 1,
    first_seen_at text not null,
    last_seen_at text not null,
    last_message text not null,
    unique (project, type, entity_url)
);
