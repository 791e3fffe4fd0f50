create table storage_volumes (
    id integer primary key,
    pool text not null,
    project text not null default 'default',
    name text not null,
    content_type text not null default 'filesystem',
    description text not null default '',
    config text not null default '{}',
    created_at text not null,
    state text not null default 'pending',
    unique (pool, project, name)
);
