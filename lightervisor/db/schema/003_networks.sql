create table networks (
    id integer primary key,
    name text not null unique,
    type text not null default 'bridge',
    description text not null default '',
    config text not null default '{}',
    state text not null default 'pending'
);
