create table storage_pools (
    id integer primary key,
    name text not null unique,
    driver text not null,
    description text not null default '',
    config text not null default '{}',
    state text not null default 'pending'
);
