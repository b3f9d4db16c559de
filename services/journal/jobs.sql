-- name: put
-- Add a job, unless one of its kind is not at its end yet.
insert into log.jobs (job_id, kind, parameters, actor) values ($1, $2, $3, $4)
    on conflict (kind) where state in ('waiting', 'running') do nothing;

-- name: job
-- One job.
select job_id, kind, parameters, actor, state, attempts, progress, result, problem, cancel_asked,
       asked_at, started_at, ended_at
  from log.jobs where job_id = $1;

-- name: open_of_kind
-- The job of a kind that is not at its end yet.
select job_id, kind, parameters, actor, state, attempts, progress, result, problem, cancel_asked,
       asked_at, started_at, ended_at
  from log.jobs where kind = $1 and state in ('waiting', 'running');

-- name: jobs
-- What is kept, newest first.
select job_id, kind, parameters, actor, state, attempts, progress, result, problem, cancel_asked,
       asked_at, started_at, ended_at
  from log.jobs order by asked_at desc limit $1;

-- name: cancel
-- End a job that waits, ask one that runs to end.
update log.jobs
   set cancel_asked = true,
       state = case state when 'waiting' then 'cancelled' else state end,
       ended_at = case state when 'waiting' then clock_timestamp() end
 where job_id = $1 and state in ('waiting', 'running');

-- name: settle
-- End jobs whose workers fell silent, where it was asked for or was tried often enough.
update log.jobs
   set state = case when cancel_asked then 'cancelled' else 'failed' end,
       problem = case when not cancel_asked then 'its workers died, ' || attempts || ' in a row' end,
       ended_at = clock_timestamp()
 where state = 'running' and beat_at < clock_timestamp() - make_interval(secs => $1)
   and (cancel_asked or attempts >= $2);

-- name: forget
-- Forget the oldest ended jobs.
delete from log.jobs
 where ended_at is not null
   and asked_at < (select asked_at from log.jobs order by asked_at desc offset $1 limit 1);

-- name: open_job
-- A job that needs a worker.
select job_id from log.jobs
 where state = 'waiting'
    or (state = 'running' and beat_at < clock_timestamp() - make_interval(secs => $1))
 order by asked_at limit 1;

-- name: claim
-- Take a job that needs a worker.
update log.jobs
   set state = 'running', worker = $2, attempts = attempts + 1, beat_at = clock_timestamp(),
       started_at = coalesce(started_at, clock_timestamp())
 where job_id = $1
   and (state = 'waiting'
        or (state = 'running' and beat_at < clock_timestamp() - make_interval(secs => $3)))
returning job_id, kind, parameters, actor, state, attempts, progress, result, problem,
          cancel_asked, asked_at, started_at, ended_at;

-- name: beat
-- Say how far a job is, if it is still ours.
update log.jobs set progress = $3, beat_at = clock_timestamp()
 where job_id = $1 and worker = $2 and state = 'running'
returning cancel_asked;

-- name: finish
-- Say what became of a job, if it is still ours.
update log.jobs set state = $3, result = $4, problem = $5, ended_at = clock_timestamp()
 where job_id = $1 and worker = $2 and state = 'running';
