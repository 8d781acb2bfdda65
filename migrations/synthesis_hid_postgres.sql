-- A synthesis without a hid gets LAB_YYYY-MM-DD_N: the short name of its machine's lab, the day, and one more
-- than the highest number so far of that lab and day, from 0. Not a count: a deleted synthesis must not make
-- the next one collide.
CREATE FUNCTION public.synthesis_hid() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    prefix text;
BEGIN
    SELECT lab.short_name || '_' || to_char(NEW.created_on, 'YYYY-MM-DD') || '_'
      INTO prefix
      FROM public.synthesis_machine AS machine
      JOIN public.lab USING (lab_id)
     WHERE machine.synthesis_machine_id = NEW.synthesis_machine_id;

    SELECT prefix || coalesce(max(substr(hid, length(prefix) + 1)::bigint) + 1, 0)
      INTO NEW.hid
      FROM public.synthesis
     WHERE starts_with(hid, prefix) AND substr(hid, length(prefix) + 1) ~ '^[0-9]{1,15}$';
    RETURN NEW;
END
$$;

CREATE TRIGGER synthesis_hid BEFORE INSERT ON public.synthesis
    FOR EACH ROW WHEN (NEW.hid IS NULL) EXECUTE FUNCTION public.synthesis_hid();
