-- mdb also gave a synthesis its human-readable id, by a trigger of its own on the log whose function lies in public: it
-- writes the id into the event's data before the event is applied. The number is how many syntheses the lab has had since the
-- day before, so that a deleted one makes the next collide.

-- The Mad Lab's own trigger does the same.
DROP TRIGGER synthesis_hid ON public.synthesis;
DROP FUNCTION public.synthesis_hid();

CREATE FUNCTION public.add_synthesis_hid() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    machine constant uuid := NEW.data ->> 'synthesis_machine_id';
    short text;
    made bigint;
BEGIN
    IF NEW.event = 'create' AND NEW.type = 'synthesis' AND NOT NEW.data ? 'hid' THEN
        SELECT l.short_name, count(s.synthesis_id) INTO short, made
          FROM public.synthesis_machine m
          JOIN public.lab l USING (lab_id)
          LEFT JOIN (public.synthesis s JOIN public.synthesis_machine o USING (synthesis_machine_id))
            ON o.lab_id = l.lab_id AND s.created_on > date_trunc('day', NEW."timestamp") - interval '1 day'
         WHERE m.synthesis_machine_id = machine
         GROUP BY l.short_name;
        NEW.data := NEW.data || jsonb_build_object('hid', format('%s_%s_%s', short, to_char(NEW."timestamp", 'YYYY-MM-DD'), made));
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER add_synthesis_hid BEFORE INSERT ON sourcing.eventstore
    FOR EACH ROW EXECUTE FUNCTION public.add_synthesis_hid();
